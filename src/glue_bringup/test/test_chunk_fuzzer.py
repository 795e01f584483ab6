"""Random, adversarial and malformed chunks exceed no limit; `scripts/fuzz_executor.py` sends 100,000."""

import numpy as np
import pytest

from glue_bringup.arm.limits import FR3, PANDA
from glue_bringup.faults.chunk_fuzzer import MALFORMATIONS, ChunkMaker, fuzz
from glue_bringup.faults.motion_audit import violations
from glue_bringup.safety.config import SafetyConfig
from glue_perception.errors import InvalidValueError
from glue_perception.geometry import make_transform

HERE = make_transform(np.eye(3), np.array([0.45, 0.0, 0.4]))


@pytest.mark.parametrize("seed", [11, 12])
def test_no_limit_is_exceeded(seed):
    report = fuzz(750, seed)
    assert report.broken == []
    assert report.chunks >= 750
    assert all(report.outcomes[kind] > 0 for kind in ("accepted", "refused", "malformed"))
    assert report.reasons["following"] > 0


def test_audit_sees_each_kind_of_violation():
    config = SafetyConfig()
    still = [HERE] * 6
    home = np.array([0.0, -0.8, 0.0, -2.3, 0.0, 1.6, 0.8])
    assert violations(still, [home] * 6, 0.01, FR3, config) == []
    step = HERE.copy()
    step[0, 3] += 0.01
    assert any("translation velocity" in v for v in violations([*still, step], [], 0.01, FR3, config))
    turned = HERE.copy()
    turned[:3, :3] = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    assert any("rotation jerk" in v for v in violations([*still, turned], [], 0.01, FR3, config))
    outside = HERE.copy()
    outside[2, 3] = -0.1
    assert "the workspace box was left" in violations([*still, outside], [], 0.01, FR3, config)
    jerky = [home] * 5 + [home + 0.1]
    assert any("jerk of joint" in v for v in violations(still, jerky, 0.01, FR3, config))
    nan = np.full((4, 4), np.nan)
    assert violations([HERE, nan], [], 0.01, FR3, config) == ["a commanded pose is not finite"]


def test_the_tables_differ_and_the_audit_uses_the_robots_own():
    # Joint 6 at 0.3 rad is inside a Panda's range and outside an FR3's.
    q = np.array([0.0, -0.8, 0.0, -2.3, 0.0, 0.3, 0.8])
    assert violations([HERE] * 4, [q] * 4, 0.01, PANDA, SafetyConfig()) == []
    assert any("joint 6" in v for v in violations([HERE] * 4, [q] * 4, 0.01, FR3, SafetyConfig()))


def test_malformed_chunks_raise_nothing_but_their_own_error():
    rng = np.random.default_rng(3)
    maker = ChunkMaker(rng)
    refused = 0
    for _ in range(40 * len(MALFORMATIONS)):
        try:
            maker.make(10**10, HERE)
        except InvalidValueError:
            refused += 1
    assert refused > 20
