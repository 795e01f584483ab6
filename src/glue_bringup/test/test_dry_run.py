"""A dry run computes and records all, and the arm stays where it is; the wrench the driver passes on."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from glue_bringup.arm.franky_arm import wrench_on_tool
from glue_bringup.arm.limits import FR3
from glue_bringup.faults.bench import PROMPT, TICK_NS, SafetyBench
from glue_bringup.faults.loop_bench import PerfectArm
from glue_bringup.loop.control_step import ControlStep
from glue_bringup.safety.config import SafetyConfig
from glue_bringup.safety.state_machine import SupervisorMode
from glue_perception.types import ActionChunk


class Hand:
    def __init__(self) -> None:
        self.asked: list[float] = []

    def command(self, width_m: float) -> None:
        self.asked.append(width_m)

    def width_m(self) -> float:
        return 0.04

    def stop(self) -> None:
        pass


class Targets:
    def __init__(self) -> None:
        self.targets: list[np.ndarray] = []

    def target(self, stamp_ns: int, T_base_ee: np.ndarray) -> None:
        self.targets.append(T_base_ee)

    def safety_event(self, stamp_ns: int, mode: str, reason: str) -> None:
        pass


@pytest.mark.parametrize("dry", [True, False])
def test_dry_run_moves_nothing_and_records_what_it_would_do(dry):
    watchdogs = replace(PROMPT, max_frame_age_s=None, max_key_patches_age_s=None, max_deadman_age_s=None)
    bench = SafetyBench(FR3, SafetyConfig(watchdogs=replace(watchdogs, max_chunk_age_s=5.0), dry_run=dry))
    arm, hand, record = PerfectArm(), Hand(), Targets()
    start = arm.T.copy()
    control = ControlStep(bench.supervisor, arm, hand, record)
    way_m = start[:3, 3] + np.outer(np.arange(16), [0.01, 0.0, 0.0])
    sixd = np.tile(np.concatenate([start[:3, 0], start[:3, 1]]), (16, 1))
    control.submit(ActionChunk(bench.now_ns, 0.1, way_m, sixd, np.full(16, 0.02)), bench.now_ns)
    for k in range(100):
        now_ns = bench.now_ns + k * TICK_NS
        assert control.tick(now_ns, replace(arm.state(), stamp_ns=now_ns)) is SupervisorMode.ACTIVE
    assert record.targets[-1][0, 3] > start[0, 3] + 0.05
    assert (np.abs(arm.T - start).max() < 1e-12) == dry
    assert bool(hand.asked) != dry


def test_wrench_is_what_acts_on_the_tool_in_the_base_frame():
    down = np.diag([1.0, -1.0, -1.0])
    pressed = SimpleNamespace(K_F_ext_hat_K=np.array([1.0, 2.0, 30.0, 0.1, 0.2, 0.3]))
    np.testing.assert_allclose(wrench_on_tool(pressed, down), [-1.0, 2.0, 30.0, -0.1, 0.2, 0.3])
