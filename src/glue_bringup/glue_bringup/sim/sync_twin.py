"""The twin stepped by its caller: deterministic, faster than real time, for data, evaluation and tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from glue_bringup.arm.impedance_gains import ImpedanceGains
from glue_bringup.sim.camera_config import FRAME_ID, CameraConfig
from glue_bringup.sim.goal import GoalWatch
from glue_bringup.sim.hand import MAX_WIDTH_M, Hand
from glue_bringup.sim.impedance import TCP_OFFSET_M, ImpedanceLaw
from glue_bringup.sim.ood import IN_DOMAIN, Condition
from glue_bringup.sim.ood.stage import Stage
from glue_bringup.sim.scene import build_scene
from glue_bringup.sim.start_state import sample_start
from glue_bringup.sim.tasks import get_task
from glue_bringup.sim.tasks.base import ForcedTask
from glue_perception.errors import HardwareError, InvalidValueError
from glue_perception.geometry import make_transform
from glue_perception.timing import ManualClock
from glue_perception.types import CameraFrame, RobotState

STEP_NS = 1_000_000
"""One step is a millisecond, the robot's control cycle."""


class SyncTwin:
    """One task's scene with arm, gripper, camera and a clock that only `advance` moves.

    Life cycle: built for one seed, `reset` for any further ones, `close`. Not thread-safe; the thread that
    renders first is the only one that may. The same seed and the same calls give the same bits. OpenGL is asked
    for at the first `render`, so that a run without pictures needs none.

    Args:
        task_name: As in `glue_bringup.sim.tasks`.
        seed: Layout and start of the first episode.
        camera: Size and place of the camera.
        gains: Of the impedance law.
        condition: What the scene holds besides the task; changes pictures only, never the physics.

    Raises:
        ConfigError: no such task.
        MissingDependencyError: franky-sim is not installed.
    """

    def __init__(
        self,
        task_name: str,
        seed: int,
        camera: CameraConfig | None = None,
        gains: ImpedanceGains | None = None,
        condition: Condition = IN_DOMAIN,
    ) -> None:
        self.camera_config = camera if camera is not None else CameraConfig()
        self.task = get_task(task_name)
        self.condition = condition
        self._goal = GoalWatch(self.task)
        simulator = build_scene(self.task, self.camera_config, sample_start(seed), condition)
        simulator.init()
        simulator.start()
        import mujoco

        self._mujoco = mujoco
        self._model = simulator.model
        self._data = mujoco.MjData(self._model)
        self._view = mujoco.MjData(self._model)
        self._law = ImpedanceLaw(self._model, self._data, gains if gains is not None else ImpedanceGains())
        self._hand = Hand(self._model, self._data)
        first = self._model.joint("robot0_fr3_joint1")
        self._qpos = slice(int(first.qposadr[0]), int(first.qposadr[0]) + 7)
        self._dof = slice(int(first.dofadr[0]), int(first.dofadr[0]) + 7)
        self._hand_body = int(self._model.body("robot0_hand").id)
        self._stage: Stage | None = None
        self.arm = _SyncArm(self)
        self.gripper = _SyncGripper(self._hand)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Begin episode `seed`: its layout, its start pose, the clock at zero (a new one), no success yet."""
        self._mujoco.mj_resetData(self._model, self._data)
        self._layout = self.task.sample_layout(seed)
        self.task.apply_layout(self._model, self._data, self._layout)
        start = sample_start(seed)
        self._data.qpos[self._qpos] = start.joint_position_rad
        self._hand.place(start.gripper_width_m)
        self._mujoco.mj_forward(self._model, self._data)
        self.clock = ManualClock()
        self._goal.reset()
        self._seed = seed
        if self._stage is not None:
            self._stage.begin(seed)
        self.arm.stop()
        self._law.reset(self._pose())

    def advance(self, duration_ns: int) -> None:
        """Run the physics for a whole number of milliseconds towards the current targets.

        Raises:
            InvalidValueError: a negative duration or a fraction of a step.
        """
        steps, rest = divmod(duration_ns, STEP_NS)
        if rest or steps < 0:
            raise InvalidValueError(f"advance needs a whole number of milliseconds, not {duration_ns} ns")
        model, data, law, hand, dof = self._model, self._data, self._law, self._hand, self._dof
        step, watch = self._mujoco.mj_step, self._goal.step
        before_step = self.task.before_step if isinstance(self.task, ForcedTask) else None
        for _ in range(steps):
            data.qfrc_applied[dof] = law.torque()
            hand.apply()
            if before_step is not None:
                before_step(model, data)
            step(model, data)
            watch(model, data)
        self.clock.advance_ns(duration_ns)

    def render(self) -> CameraFrame:
        """Return the picture of this instant, stamped with the clock.

        Raises:
            RenderingError: no OpenGL library works here; the message names the packages.
        """
        if self._stage is None:
            self._stage = Stage(self._model, self.task, self.camera_config, self.condition)
            self._stage.begin(self._seed)
        self._refresh_view()
        now_ns = self.clock.now_ns()
        picture = self._stage.render(self._view, now_ns)
        return CameraFrame(now_ns, FRAME_ID, picture.rgb, self.intrinsics, picture.depth_m)

    def is_success(self) -> bool:
        """Return whether the goal was reached at any step of this episode; see `GoalWatch`."""
        return self._goal.reached

    @property
    def truth(self) -> Any:
        """The layout with the movable objects where they are now."""
        return self.task.truth(self._layout, self.task.measure(self._model, self._data))

    @property
    def intrinsics(self) -> Float[np.ndarray, "3 3"]:
        """Pinhole matrix in px."""
        return self.camera_config.intrinsics

    @property
    def T_base_camera(self) -> Float[np.ndarray, "4 4"]:
        """Pose of the optical frame."""
        return self.camera_config.T_base_camera

    def close(self) -> None:
        """Free the OpenGL context. Safe to call twice."""
        if self._stage is not None:
            self._stage.close()
            self._stage = None

    def __enter__(self) -> SyncTwin:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _refresh_view(self) -> None:
        # Kinematics of this very instant, worked out apart: in the simulation's own data they would change what
        # the impedance law reads next, and looking must not change the run.
        self._view.qpos[:] = self._data.qpos
        self._mujoco.mj_kinematics(self._model, self._view)
        self._mujoco.mj_comPos(self._model, self._view)
        self._mujoco.mj_camlight(self._model, self._view)

    def _pose(self) -> Float[np.ndarray, "4 4"]:
        self._refresh_view()
        rotation = self._view.xmat[self._hand_body].reshape(3, 3).copy()
        return make_transform(rotation, self._view.xpos[self._hand_body] + TCP_OFFSET_M * rotation[:, 2])

    def _state(self) -> RobotState:
        return RobotState(
            stamp_ns=self.clock.now_ns(),
            joint_position_rad=self._data.qpos[self._qpos].copy(),
            joint_velocity_rad_s=self._data.qvel[self._dof].copy(),
            T_base_ee=self._pose(),
            gripper_width_m=self._hand.width_m(),
        )


class _SyncArm:
    """The twin's arm as a driver; while control is off it holds its pose."""

    def __init__(self, twin: SyncTwin) -> None:
        self._twin = twin
        self._active = False

    def start(self) -> None:
        self._twin._law.set_target(self._twin._pose())
        self._active = True

    def state(self) -> RobotState:
        return self._twin._state()

    def set_target(self, T_base_ee: Float[np.ndarray, "4 4"]) -> None:
        if not self._active:
            raise HardwareError("the simulated arm is not under control; call start() first")
        self._twin._law.set_target(T_base_ee)

    def stop(self) -> None:
        if self._active:
            self._twin._law.set_target(self._twin._pose())
        self._active = False


class _SyncGripper:
    """The twin's fingers as a gripper."""

    def __init__(self, hand: Hand) -> None:
        self._hand = hand

    def command(self, width_m: float) -> None:
        self._hand.goal_m = min(max(width_m, 0.0), MAX_WIDTH_M)

    def width_m(self) -> float:
        return self._hand.width_m()

    def stop(self) -> None:
        self._hand.goal_m = self._hand.width_m()
