"""The same actions through the synchronous and the protocol-level host end within 5 mm of each other."""

from dataclasses import replace

import numpy as np
import pytest

from glue_bringup.arm.franky_arm import FrankyArm, FrankyArmConfig
from glue_bringup.arm.limits import RobotModel
from glue_bringup.gripper.franky_gripper import FrankyGripper
from glue_bringup.loop.action_source import Decision
from glue_bringup.loop.realtime_loop import RealtimeLoop, Robot
from glue_bringup.loop.sync_loop import SyncLoop
from glue_bringup.sim.protocol_twin import ProtocolTwin
from glue_bringup.sim.sync_twin import SyncTwin
from glue_bringup.task_config import load_task
from glue_perception.geometry import rotation_6d_from_matrix, rotation_vector
from glue_perception.pipeline import build_pipeline
from glue_perception.timing import LatencyRecorder
from glue_perception.types import ActionChunk

pytestmark = [pytest.mark.render, pytest.mark.slow]

WAY_M = np.array([0.10, 0.08, -0.12])
TRAVEL_S = 2.0
DURATION_S = 4.0
SEED = 11


class ThereAndStay:
    """Goes `WAY_M` from the start in `TRAVEL_S` on a smooth path, then stays; a function of time alone."""

    def reset(self, observation) -> None:
        self._first_ns: int | None = None
        self._start = observation.robot_state.T_base_ee

    def note_in_force(self, stamp_ns, now_ns) -> None:
        pass

    def note_held(self, now_ns) -> None:
        pass

    def decide(self, observation) -> Decision:
        if self._first_ns is None:
            self._first_ns = observation.stamp_ns
        seconds = (observation.stamp_ns - self._first_ns) / 1e9 + 0.1 * np.arange(16)
        s = np.clip(seconds / TRAVEL_S, 0.0, 1.0)
        position = self._start[:3, 3] + np.outer(s * s * (3 - 2 * s), WAY_M)
        rotation = np.tile(rotation_6d_from_matrix(self._start[:3, :3]), (16, 1))
        return Decision(ActionChunk(observation.stamp_ns, 0.1, position, rotation, np.zeros(16)))


def test_one_action_sequence_ends_at_one_place() -> None:
    task = replace(load_task("push_button").for_simulation(), max_duration_s=DURATION_S)
    twin = SyncTwin(task.task, SEED, task.camera, task.gains)
    loop = SyncLoop(task, twin, build_pipeline(task.perception, task.queries), LatencyRecorder())
    result = loop.run(SEED, ThereAndStay())
    assert not result.holds
    sync = twin.arm.state()
    twin.close()

    with ProtocolTwin(task.task, SEED, task.camera) as protocol_twin:
        gripper = FrankyGripper(protocol_twin.robot_ip)
        config = FrankyArmConfig(protocol_twin.robot_ip, RobotModel.FR3)
        arm = FrankyArm(config, task.gains, gripper.width_m)
        start_m = arm.state().T_base_ee[:3, 3]
        protocol = RealtimeLoop(
            task,
            Robot(arm, gripper, protocol_twin.camera, RobotModel.FR3),
            build_pipeline(task.perception, task.queries),
            ThereAndStay(),
            LatencyRecorder(),
        )
        result = protocol.run(SEED, lambda: False)
        real_time = arm.state()

    assert np.linalg.norm(sync.T_base_ee[:3, 3] - start_m) > 0.15
    apart_mm = 1e3 * np.linalg.norm(sync.T_base_ee[:3, 3] - real_time.T_base_ee[:3, 3])
    turned_deg = np.degrees(
        np.linalg.norm(rotation_vector(sync.T_base_ee[:3, :3].T @ real_time.T_base_ee[:3, :3]))
    )
    assert apart_mm < 5.0
    assert turned_deg < 2.0
    assert sync.gripper_width_m == pytest.approx(0.0, abs=2e-3)
    assert real_time.gripper_width_m == pytest.approx(0.0, abs=2e-3)
