"""Statistics of success counts: one rate, two rates over the same seeds, and many comparisons at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Z_95 = 1.959963984540054


def wilson_interval(successes: int, trials: int, z: float = Z_95) -> tuple[float, float]:
    """Return the Wilson score interval of a success rate, (0, 1) without trials.

    Raises:
        ValueError: counts that cannot be.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"successes must lie in 0..{trials}, not {successes}")
    if trials == 0:
        return 0.0, 1.0
    rate = successes / trials
    scale = 1.0 + z * z / trials
    centre = (rate + z * z / (2 * trials)) / scale
    half = z * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials)) / scale
    return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True)
class PairedCounts:
    """How two methods did on the same episodes.

    Attributes:
        both: Episodes in which both succeeded.
        only_first: The first alone.
        only_second: The second alone.
        neither: Both failed.

    Raises:
        ValueError: a negative count.
    """

    both: int
    only_first: int
    only_second: int
    neither: int

    def __post_init__(self) -> None:
        if min(self.both, self.only_first, self.only_second, self.neither) < 0:
            raise ValueError(f"counts must not be negative: {self}")

    @classmethod
    def of(cls, first: Sequence[bool], second: Sequence[bool]) -> PairedCounts:
        """Return the counts of two lists of outcomes, episode by episode.

        Raises:
            ValueError: lists of different length.
        """
        pairs = list(zip(first, second, strict=True))
        return cls(
            both=pairs.count((True, True)),
            only_first=pairs.count((True, False)),
            only_second=pairs.count((False, True)),
            neither=pairs.count((False, False)),
        )

    @property
    def trials(self) -> int:
        """Pairs of episodes."""
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def difference(self) -> float:
        """Success rate of the first less that of the second, -1..1; 0 without trials."""
        return (self.only_first - self.only_second) / self.trials if self.trials else 0.0


def mcnemar_exact(counts: PairedCounts) -> float:
    """Return the two-sided p-value of McNemar's exact test that both methods succeed equally often.

    Only episodes with different outcomes tell the methods apart; if they are equal, each of these falls to either
    side with probability 1/2. Without any, 1.
    """
    from scipy.stats import binomtest

    differing = counts.only_first + counts.only_second
    if differing == 0:
        return 1.0
    return float(binomtest(counts.only_first, differing, 0.5).pvalue)


def paired_difference_interval(counts: PairedCounts, z: float = Z_95) -> tuple[float, float]:
    """Return Tango's score interval of the difference of two success rates over the same episodes.

    It keeps its coverage for few episodes and at rates of 0 and 1, where the usual normal interval has no width
    (Tango 1998, Statistics in Medicine 17; recommended by Fagerland, Lydersen and Laake 2014). (-1, 1) without
    trials.
    """
    from scipy.optimize import brentq

    if counts.trials == 0:
        return -1.0, 1.0

    def excess(delta: float, sign: float) -> float:
        return _tango_score(counts, delta) - sign * z

    # The score falls as the assumed difference grows; at -1 and 1 it is infinite or, for such data, zero.
    edge, middle = 1.0 - 1e-9, counts.difference
    low = -1.0 if excess(-edge, 1.0) <= 0.0 else brentq(excess, -edge, min(middle, edge), args=(1.0,))
    high = 1.0 if excess(edge, -1.0) >= 0.0 else brentq(excess, max(middle, -edge), edge, args=(-1.0,))
    return float(low), float(high)


def _tango_score(counts: PairedCounts, delta: float) -> float:
    """Return how many standard errors the data lie above an assumed difference `delta`."""
    n, b, c = counts.trials, counts.only_first, counts.only_second
    # The probability of "second alone" that is likeliest under delta solves 2n q^2 + B q + C = 0.
    linear = -b - c + (2 * n - b + c) * delta
    constant = -c * delta * (1.0 - delta)
    q = (math.sqrt(max(0.0, linear * linear - 8 * n * constant)) - linear) / (4 * n)
    variance = n * (2.0 * q + delta * (1.0 - delta))
    gap = b - c - n * delta
    if variance <= 0.0:
        return 0.0 if gap == 0.0 else math.copysign(math.inf, gap)
    return gap / math.sqrt(variance)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values corrected for their number by Holm's step-down procedure, in the given order.

    Calling significant what stays below alpha keeps the chance of any false claim among all of them below alpha
    (Holm 1979), whatever their dependence.

    Raises:
        ValueError: a value outside 0..1.
    """
    if any(not 0.0 <= p <= 1.0 for p in p_values):
        raise ValueError(f"p-values must lie in 0..1: {list(p_values)}")
    corrected, floor = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        floor = max(floor, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = floor
    return corrected
