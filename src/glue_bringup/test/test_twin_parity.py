"""One sequence of targets, the synchronous twin's impedance law on one side, franky's tracker on the other."""

import time
from pathlib import Path

import numpy as np
import pytest

from glue_bringup.arm.impedance_gains import ImpedanceGains
from glue_bringup.sim.camera_config import CameraConfig
from glue_bringup.sim.experts import get_expert
from glue_bringup.sim.protocol_twin import ProtocolTwin
from glue_bringup.sim.sync_twin import SyncTwin

SEED = 5
SMALL = CameraConfig(width_px=96, height_px=96, rate_hz=5.0)
TICK_NS = 10_000_000


def expert_targets(twin: SyncTwin) -> list[np.ndarray]:
    """Run the expert to its end and return its targets at 100 Hz."""
    expert = get_expert("push_button")
    twin.arm.start()
    last = twin.arm.state().T_base_ee.copy()
    targets = []
    for _ in range(32):
        action = expert.action(twin.arm.state(), twin.truth)
        twin.gripper.command(action.gripper_width_m)
        for share in np.arange(1, 11) / 10:
            target = action.T_base_ee.copy()
            target[:3, 3] = (1 - share) * last[:3, 3] + share * target[:3, 3]
            targets.append(target)
            twin.arm.set_target(target)
            twin.advance(TICK_NS)
        last = action.T_base_ee
    return targets


def addresses(pid: int) -> set[str]:
    """Return the first number of every address that a process has a UDP or TCP socket bound to."""
    inodes = {str(f.readlink()).removeprefix("socket:[")[:-1] for f in Path(f"/proc/{pid}/fd").iterdir()}
    rows = [
        line.split()
        for table in ("udp", "tcp")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    return {str(int(row[1][6:8], 16)) for row in rows if row[9] in inodes}


@pytest.mark.render
def test_both_twins_end_in_the_same_place() -> None:
    franky = pytest.importorskip("franky")
    gains = ImpedanceGains()
    with SyncTwin("push_button", SEED, SMALL, gains) as sync:
        targets = expert_targets(sync)
        sync.advance(50 * TICK_NS)
        end_of_sync = sync.arm.state()
        assert sync.is_success()
    with ProtocolTwin("push_button", SEED, SMALL) as twin:
        robot = franky.Robot(twin.robot_ip, realtime_config=franky.RealtimeConfig.Ignore)
        gripper = franky.Gripper(twin.robot_ip)
        with franky.CartesianImpedanceTracker(
            robot,
            translational_stiffness=gains.translational_stiffness_n_m,
            rotational_stiffness=gains.rotational_stiffness_nm,
            translational_error_clip=np.full(3, gains.translational_error_clip_m),
            rotational_error_clip=np.full(3, gains.rotational_error_clip),
            posture_task=franky.PostureTask(np.array(gains.posture_rad), gains.posture_stiffness_nm_rad),
            max_delta_tau=gains.max_torque_step_nm,
            period=TICK_NS / 1e9,
        ) as tracker:
            closing = gripper.move_async(0.0, 0.05)
            for target in targets:
                assert tracker.tick()
                tracker.set_target(franky.Affine(target))
            time.sleep(0.5)
            pose = robot.current_pose.end_effector_pose.matrix
            joints = np.array(robot.current_joint_positions)
            assert closing.wait(2.0)
            assert addresses(twin.processes[0].pid) == {"127"}
        status = twin.status()
    assert status.success
    assert np.linalg.norm(pose[:3, 3] - end_of_sync.T_base_ee[:3, 3]) < 0.005
    assert np.abs(joints - end_of_sync.joint_position_rad).max() < 0.06
