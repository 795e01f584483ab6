import pytest
from hypothesis import given
from hypothesis import strategies as st

from glue_policy.evaluation.statistics import (
    PairedCounts,
    holm,
    mcnemar_exact,
    paired_difference_interval,
    wilson_interval,
)


def test_known_values() -> None:
    # Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662; 0 of 20 gives 0 to 0.1611.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_holds_the_rate_and_mirrors(counts: tuple[int, int]) -> None:
    successes, trials = counts
    low, high = wilson_interval(successes, trials)
    assert 0.0 <= low <= successes / trials + 1e-12
    assert successes / trials - 1e-12 <= high <= 1.0
    assert wilson_interval(trials - successes, trials) == pytest.approx((1 - high, 1 - low))


def test_no_trials_say_nothing() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("counts", [(3, 2), (-1, 2)])
def test_impossible_counts(counts: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=str(counts[0])):
        wilson_interval(*counts)


# Airway hyper-responsiveness before and after a transplantation (Bentur et al. 2009), an example of Fagerland,
# Lydersen and Laake (2014): 1 both, 1 before only, 7 after only, 12 neither.
BENTUR = PairedCounts(both=1, only_first=1, only_second=7, neither=12)


def test_paired_counts() -> None:
    first, second = [True, True, False, False, False], [True, False, True, True, False]
    counts = PairedCounts.of(first, second)
    assert counts == PairedCounts(1, 1, 2, 1)
    assert counts.trials == 5
    assert counts.difference == pytest.approx(-0.2)
    with pytest.raises(ValueError, match=r"shorter|longer"):
        PairedCounts.of([True], [])
    with pytest.raises(ValueError, match="negative"):
        PairedCounts(1, -1, 0, 0)


def test_mcnemar_against_known_values() -> None:
    assert mcnemar_exact(BENTUR) == pytest.approx(0.0703125)
    assert mcnemar_exact(PairedCounts(0, 0, 6, 0)) == pytest.approx(2 / 2**6)
    assert mcnemar_exact(PairedCounts(50, 4, 4, 2)) == 1.0
    assert mcnemar_exact(PairedCounts(50, 0, 0, 2)) == 1.0


def test_mcnemar_knows_no_first_and_second() -> None:
    assert mcnemar_exact(PairedCounts(3, 9, 2, 5)) == mcnemar_exact(PairedCounts(3, 2, 9, 5))


def test_paired_interval_against_known_values() -> None:
    assert paired_difference_interval(BENTUR) == pytest.approx((-0.517, -0.026), abs=5e-4)


@pytest.mark.parametrize("counts", [(10, 8, 3, 5), (0, 7, 0, 0), (4, 0, 5, 0), (50, 0, 0, 0), (0, 0, 0, 3)])
def test_paired_interval_holds_the_difference_and_mirrors(counts: tuple[int, int, int, int]) -> None:
    both, first, second, neither = counts
    low, high = paired_difference_interval(PairedCounts(*counts))
    assert -1.0 <= low <= (first - second) / sum(counts) <= high <= 1.0
    assert high - low > 0.05
    mirrored = paired_difference_interval(PairedCounts(both, second, first, neither))
    assert mirrored == pytest.approx((-high, -low), abs=1e-9)


def test_paired_interval_without_trials_knows_nothing() -> None:
    assert paired_difference_interval(PairedCounts(0, 0, 0, 0)) == (-1.0, 1.0)


def test_holm_against_known_values() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.7, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([0.02]) == [0.02]
    assert holm([]) == []
    with pytest.raises(ValueError, match=r"0\.\.1"):
        holm([0.1, 1.2])
