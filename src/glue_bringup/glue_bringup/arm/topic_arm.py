"""An arm behind an impedance controller that is spoken to by topics: poses in, poses and joints out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from glue_bringup.arm.franky_faults import ArmFault, ArmFaultError
from glue_bringup.arm.kinematics import ArmKinematics
from glue_bringup.arm.limits import RobotModel, limits_for
from glue_perception.errors import ConfigError, InvalidValueError, NotReadyError
from glue_perception.types import RobotState

LONGEST_TOOL_M = 0.3
"""From flange to tool centre point; the Franka hand's is 0.10 m away."""

ACTIVATE = "see that the controllers are active (`ros2 control list_controllers`)"


@dataclass(frozen=True)
class TopicArmConfig:
    """How an arm behind topics is watched.

    Attributes:
        robot_model: Whose joints and limits they are; the joints are called as in the maker's description.
        connect_timeout_s: For the first joints and pose.
        silence_timeout_s: Joints or pose older than this, by their arrival or with a stamp that stands still: lost.

    Raises:
        ConfigError: a time that is not above 0.
    """

    robot_model: RobotModel
    connect_timeout_s: float = 3.0
    silence_timeout_s: float = 0.5

    def __post_init__(self) -> None:
        for name in ("connect_timeout_s", "silence_timeout_s"):
            if not getattr(self, name) > 0.0:
                raise ConfigError(f"{name} must be above 0, not {getattr(self, name)}")

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names in sensor_msgs/JointState, from base to flange."""
        return tuple(f"{self.robot_model.value}_joint{number}" for number in range(1, 8))


@dataclass(frozen=True)
class Line:
    """How to speak to the controller.

    Attributes:
        send: Publishes a target pose in the base frame.
        listeners: Returns how many subscribe to it; a controller that is not active does not.
        others: Returns the names of other nodes that publish targets.
    """

    send: Callable[[Float[np.ndarray, "4 4"]], None]
    listeners: Callable[[], int]
    others: Callable[[], list[str]]


@dataclass(frozen=True)
class _Joints:
    arrival_ns: int
    position_rad: Float[np.ndarray, "7"]
    velocity_rad_s: Float[np.ndarray, "7"]


@dataclass(frozen=True)
class _Pose:
    arrival_ns: int
    T_base_ee: Float[np.ndarray, "4 4"]


class TopicArm:
    """An `ArmDriver`; `note_joints` and `note_pose` may come from any thread, the rest from one.

    The controller stays at its last target when none comes any more, so the arm comes to rest by itself. Its
    impedance, its reactions to contact and its own limits are set where it is configured, not in the task's YAML, and
    it reports no forces: `RobotState.external_wrench` is None, so the supervisor's force limit does not act.

    Args:
        config: What it is.
        line: Way to the controller.
        gripper_width_m: Returns the newest opening, for the state.
    """

    def __init__(
        self, config: TopicArmConfig, line: Line, gripper_width_m: Callable[[], float] = lambda: 0.0
    ) -> None:
        self._config, self._line, self._gripper_width_m = config, line, gripper_width_m
        self._kinematics = ArmKinematics(limits_for(config.robot_model))
        self._lock = threading.Condition()
        self._joints: _Joints | None = None
        self._pose: _Pose | None = None
        self._stamps_ns: dict[str, int] = {}
        self._started = False
        self._fault: ArmFaultError | None = None

    def note_joints(
        self, stamp_ns: int, position_rad: dict[str, float], velocity_rad_s: dict[str, float]
    ) -> None:
        """Take joints by name; a message without all seven (of a gripper, say) is left out. Velocities may lack."""
        names = self._config.joint_names
        if not all(name in position_rad for name in names):
            return
        position = np.array([position_rad[name] for name in names])
        velocity = np.array([velocity_rad_s.get(name, 0.0) for name in names])
        if self._usable("joint states", stamp_ns, position, velocity):
            with self._lock:
                self._joints = _Joints(time.time_ns(), position, velocity)
                self._lock.notify_all()

    def note_pose(self, stamp_ns: int, T_base_ee: Float[np.ndarray, "4 4"]) -> None:
        """Take the tool's pose in the base frame."""
        if self._usable("poses", stamp_ns, T_base_ee):
            with self._lock:
                self._pose = _Pose(time.time_ns(), T_base_ee)
                self._lock.notify_all()

    def note_unusable(self, words: str) -> None:
        """End control because of what came."""
        self._fault = ArmFaultError(
            f"{words}; look at the robot's driver, then call recover", ArmFault.COMMUNICATION
        )

    def start(self) -> None:
        """Take over with the current pose as the target, so that nothing moves.

        Raises:
            HardwareError: no joints or pose come, nobody listens, somebody else sends targets too, or the pose is of
                other frames than the robot's base and tool.
        """
        if self._started:
            return
        with self._lock:
            if not self._lock.wait_for(lambda: self._joints and self._pose, self._config.connect_timeout_s):
                missing = " and ".join(
                    name for name, have in (("joints", self._joints), ("poses", self._pose)) if not have
                )
                raise ArmFaultError(
                    f"the robot's {missing} have not come within {self._config.connect_timeout_s:g} s; {ACTIVATE}, "
                    f"and that joints are named {self._config.joint_names[0]} and so on",
                    ArmFault.CONNECTION,
                )
        self._check_line()
        others = self._line.others()
        if others:
            raise ArmFaultError(
                f"{', '.join(others)} publishes target poses too, and the controller obeys nobody then; end it",
                ArmFault.REJECTED,
            )
        state = self.state()
        self._check_frames(state)
        self._line.send(state.T_base_ee)
        self._started = True

    def state(self) -> RobotState:
        """Return the newest joints and pose, stamped with the earlier arrival of the two.

        Raises:
            HardwareError: one of them is silent, or what came cannot be used.
        """
        if self._fault is not None:
            raise self._fault
        joints, pose = self._joints, self._pose
        if joints is None or pose is None:
            raise NotReadyError("the robot's joints and pose have not come yet; call start first")
        stamp_ns = min(joints.arrival_ns, pose.arrival_ns)
        silent_s = (time.time_ns() - stamp_ns) / 1e9
        if silent_s > self._config.silence_timeout_s:
            what = "joints" if joints.arrival_ns < pose.arrival_ns else "poses"
            raise ArmFaultError(
                f"no new {what} of the robot since {silent_s:.2f} s; {ACTIVATE}, then call recover",
                ArmFault.CONNECTION,
            )
        return RobotState(
            stamp_ns=stamp_ns,
            joint_position_rad=joints.position_rad,
            joint_velocity_rad_s=joints.velocity_rad_s,
            T_base_ee=pose.T_base_ee,
            gripper_width_m=self._gripper_width_m(),
        )

    def set_target(self, T_base_ee: Float[np.ndarray, "4 4"]) -> None:
        """Send a target.

        Raises:
            NotReadyError: `start` was not called.
            InvalidValueError: not finite.
            HardwareError: nobody listens any more.
        """
        if not self._started:
            raise NotReadyError("the arm is not under control yet; call start first")
        if not np.all(np.isfinite(T_base_ee)):
            raise InvalidValueError("a target pose must be finite")
        self._check_line()
        self._line.send(T_base_ee)

    def stop(self) -> None:
        """Send no more targets: the controller keeps the last one, at which the arm comes to rest."""
        self._started = False

    def recover(self) -> None:
        """Forget what has come, so that `start` waits for news. The robot's own errors are its driver's to clear."""
        self.stop()
        with self._lock:
            self._joints = self._pose = None
            self._stamps_ns.clear()
            self._fault = None

    def close(self) -> None:
        """Stop."""
        self.stop()

    def _usable(self, what: str, stamp_ns: int, *values: np.ndarray) -> bool:
        """Return whether it is news; values that are not finite end control."""
        if not all(np.all(np.isfinite(value)) for value in values):
            self.note_unusable(f"the robot's {what} hold values that are not finite")
            return False
        last_ns, self._stamps_ns[what] = self._stamps_ns.get(what), stamp_ns
        return last_ns is None or stamp_ns != last_ns

    def _check_line(self) -> None:
        if self._line.listeners() == 0:
            raise ArmFaultError(f"nobody listens to target poses; {ACTIVATE}", ArmFault.REJECTED)

    def _check_frames(self, state: RobotState) -> None:
        """Refuse a pose that is not the tool's in the base frame: workspace and limits would be elsewhere."""
        flange = self._kinematics.flange_pose(state.joint_position_rad)
        apart_m = float(np.linalg.norm(state.T_base_ee[:3, 3] - flange[:3, 3]))
        if apart_m > LONGEST_TOOL_M:
            raise ArmFaultError(
                f"the pose that comes is {apart_m:.2f} m from the flange where the joints put it; set base_frame and "
                f"end_effector_frame of the controllers to the robot's link0 and its hand's tcp",
                ArmFault.VERSION,
            )
