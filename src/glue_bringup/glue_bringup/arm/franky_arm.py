"""A Franka arm, real or simulated at protocol level, through franky."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address
from typing import Any

import numpy as np
from jaxtyping import Float

from glue_bringup.arm.franky_faults import MODE_REMEDIES, explain
from glue_bringup.arm.impedance_gains import ImpedanceGains
from glue_bringup.arm.limits import RobotModel, limits_for
from glue_perception.errors import ConfigError, HardwareError, MissingDependencyError, NotReadyError
from glue_perception.types import RobotState

COMMAND_PORT = 1337
"""Where every Franka robot listens."""

STOP_TIMEOUT_S = 3.0
"""libfranka gives up on a silent robot after one second; coming to rest takes less than two."""


class Realtime(Enum):
    """Whether the control thread must have real-time priority. AUTO: unless the robot is on this computer."""

    AUTO = "auto"
    ENFORCE = "enforce"
    IGNORE = "ignore"


@dataclass(frozen=True)
class FrankyArmConfig:
    """Where the arm is and how it reacts to contact.

    Attributes:
        robot_ip: Address of the robot, or of the protocol-level twin.
        robot_model: Which robot it is; the twin is an FR3.
        realtime: See `Realtime`.
        connect_timeout_s: A robot that has not answered by then is given up.
        silence_timeout_s: A robot that has sent no new state for this long counts as lost.
        collision_torque_nm: External joint torque at which the robot stops by reflex.
        collision_force_n: External force at the tool at which it stops by reflex. Well above what pressing a
            button needs, and below what hurts.

    Raises:
        ConfigError: an empty address, or a value that is not positive.
    """

    robot_ip: str
    robot_model: RobotModel
    realtime: Realtime = Realtime.AUTO
    connect_timeout_s: float = 3.0
    silence_timeout_s: float = 0.5
    collision_torque_nm: float = 40.0
    collision_force_n: float = 60.0

    def __post_init__(self) -> None:
        if not self.robot_ip.strip():
            raise ConfigError("robot_ip is empty; give the robot's address, e.g. 172.16.0.2")
        for name in ("connect_timeout_s", "silence_timeout_s", "collision_torque_nm", "collision_force_n"):
            if not getattr(self, name) > 0.0:
                raise ConfigError(f"arm {name} must be positive, not {getattr(self, name)}")


class FrankyArm:
    """The arm under franky's Cartesian impedance tracking at 1 kHz, which runs in a thread of franky's own.

    Life cycle as `ArmDriver`. `start` may be called again after `stop`. One thread calls it.

    Args:
        config: Where and how.
        gains: Impedance, the same as in the twin.
        gripper_width_m: Returns the newest opening, for the state; called at every `state`.

    Raises:
        HardwareError: the robot is not reachable, refuses, speaks another version or is another model.
        MissingDependencyError: franky is not installed.
    """

    def __init__(
        self,
        config: FrankyArmConfig,
        gains: ImpedanceGains,
        gripper_width_m: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._config = config
        self._gains = gains
        self._gripper_width_m = gripper_width_m
        self._franky = import_franky()
        self._tracker: Any = None
        self._robot_time_ms = -1
        self._fresh_ns = time.time_ns()
        self._robot: Any = self._connect()
        self._check_model()

    def start(self) -> None:
        """Switch impedance control on, with the current pose as its target.

        Raises:
            HardwareError: the robot is in a mode in which it cannot move, or refuses.
        """
        if self._tracker is not None:
            return
        robot, config, gains, limits = (
            self._robot,
            self._config,
            self._gains,
            limits_for(self._config.robot_model),
        )
        try:
            mode = robot.state.robot_mode.name
            if mode in MODE_REMEDIES:
                raise HardwareError(
                    f"the robot at {config.robot_ip} is in mode {mode}; {MODE_REMEDIES[mode]}"
                )
            robot.set_collision_behavior(config.collision_torque_nm, config.collision_force_n)
            self._tracker = self._franky.CartesianImpedanceTracker(
                robot,
                translational_stiffness=gains.translational_stiffness_n_m,
                rotational_stiffness=gains.rotational_stiffness_nm,
                translational_error_clip=np.full(3, gains.translational_error_clip_m),
                rotational_error_clip=np.full(3, gains.rotational_error_clip),
                posture_task=self._franky.PostureTask(
                    np.array(gains.posture_rad), gains.posture_stiffness_nm_rad
                ),
                max_delta_tau=gains.max_torque_step_nm,
                lower_joint_limits=np.array(limits.joint_position_min_rad),
                upper_joint_limits=np.array(limits.joint_position_max_rad),
            )
        except (self._franky.Exception, RuntimeError) as error:
            raise HardwareError(explain(f"the robot at {config.robot_ip} does not start", error)) from error

    def state(self) -> RobotState:
        """Return the newest state, stamped with the time of its arrival.

        Takes microseconds while control is on, and up to a millisecond (until the next packet) while it is off.

        Raises:
            HardwareError: the connection is lost or control has ended; the message names the cause.
        """
        self._check_control()
        try:
            state = self._robot.state
        except (self._franky.Exception, RuntimeError) as error:
            raise HardwareError(explain(f"the robot at {self._config.robot_ip} is lost", error)) from error
        now_ns = time.time_ns()
        robot_time_ms = state.time.to_msec()
        if robot_time_ms != self._robot_time_ms:
            self._robot_time_ms, self._fresh_ns = robot_time_ms, now_ns
        silent_s = (now_ns - self._fresh_ns) / 1e9
        if silent_s > self._config.silence_timeout_s:
            raise HardwareError(
                f"the robot at {self._config.robot_ip} is silent since {silent_s:.2f} s; check its power and cable"
            )
        return RobotState(
            stamp_ns=self._fresh_ns,
            joint_position_rad=state.q,
            joint_velocity_rad_s=state.dq,
            T_base_ee=state.O_T_EE.matrix,
            gripper_width_m=self._gripper_width_m(),
        )

    def set_target(self, T_base_ee: Float[np.ndarray, "4 4"]) -> None:
        """Set the impedance target; takes effect in the next control cycle.

        Raises:
            NotReadyError: `start` was not called.
            HardwareError: control has ended; the message names the cause.
        """
        if self._tracker is None:
            raise NotReadyError("the arm has no impedance control yet; call start first")
        self._check_control()
        self._tracker.set_target(self._franky.Affine(T_base_ee))

    def stop(self) -> None:
        """Come to rest and switch control off. Safe to call twice and after a fault; takes 3 s at most."""
        tracker, self._tracker = self._tracker, None
        if tracker is None:
            return
        try:
            if self._robot.is_in_control:
                self._robot.move(self._franky.TorqueStopMotion(), asynchronous=True)
            self._robot.join_motion(STOP_TIMEOUT_S)
        except (self._franky.Exception, RuntimeError):
            # Control has already ended by a fault, which `state` or `set_target` reports; the brakes hold the arm.
            return

    def recover_from_errors(self) -> None:
        """Clear a reflex; afterwards `start` may be called again.

        Raises:
            HardwareError: the robot cannot recover, or is not reachable.
        """
        self.stop()
        try:
            recovered = self._robot.recover_from_errors()
        except (self._franky.Exception, RuntimeError) as error:
            raise HardwareError(
                explain(f"the robot at {self._config.robot_ip} cannot recover", error)
            ) from error
        if not recovered:
            raise HardwareError(
                f"the robot at {self._config.robot_ip} did not recover; look at Desk for the reason"
            )

    def _check_control(self) -> None:
        """Raise what ended control, if it was on and has ended."""
        if self._tracker is None or self._robot.is_in_control:
            return
        what = f"control of the robot at {self._config.robot_ip} has ended"
        try:
            self._robot.poll_motion()
        except (self._franky.Exception, RuntimeError) as error:
            raise HardwareError(explain(what, error)) from error
        raise HardwareError(f"{what} without a reason given; look at Desk, then start again")

    def _connect(self) -> Any:
        """Return a connected franky.Robot, or raise HardwareError by the time-out.

        libfranka itself waits for ever for a robot that accepts and does not answer, hence the thread.
        """
        address, outcome = self._config.robot_ip, _Outcome()

        def work() -> None:
            try:
                outcome.finish(self._franky.Robot(address, realtime_config=self._realtime_config()), None)
            except Exception as error:  # handed over to the caller's thread
                outcome.finish(None, error)

        threading.Thread(target=work, name="franky-connect", daemon=True).start()
        if not outcome.wait(self._config.connect_timeout_s):
            raise HardwareError(self._silence(address))
        if outcome.error is not None:
            raise HardwareError(
                explain(f"cannot connect to the robot at {address}", outcome.error)
            ) from outcome.error
        return outcome.robot

    def _silence(self, address: str) -> str:
        waited = f"the robot at {address} has not answered within {self._config.connect_timeout_s:g} s"
        try:
            socket.create_connection((address, COMMAND_PORT), timeout=0.2).close()
        except OSError:
            return f"{waited}: it is not reachable; check the address, its power and the cable"
        return (
            f"{waited}, though port {COMMAND_PORT} is open; end other programs that are connected to it, "
            "and check that it is unlocked with FCI mode on"
        )

    def _realtime_config(self) -> Any:
        ignore = self._config.realtime is Realtime.IGNORE or (
            self._config.realtime is Realtime.AUTO and _is_this_computer(self._config.robot_ip)
        )
        return self._franky.RealtimeConfig.Ignore if ignore else self._franky.RealtimeConfig.Enforce

    def _check_model(self) -> None:
        """Refuse an FR3 configured as a Panda. libfranka 0.9.x, which a Panda needs, has no model to ask for."""
        if self._config.robot_model is not RobotModel.PANDA:
            return
        try:
            description = str(self._robot.model_urdf)
        except (AttributeError, self._franky.Exception, RuntimeError):
            return
        if '<robot name="fr3"' in description:
            raise HardwareError(
                f"robot_model is panda, but the robot at {self._config.robot_ip} is an FR3 (the twin is one too); "
                "set robot_model: fr3. A Panda needs a franky-control wheel for libfranka 0.9.x"
            )


class _Outcome:
    """What the connecting thread hands over; a robot that comes too late is let go again."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._abandoned = False
        self.robot: Any = None
        self.error: Exception | None = None

    def finish(self, robot: Any, error: Exception | None) -> None:
        with self._lock:
            if not self._abandoned:
                self.robot, self.error = robot, error
            self._done.set()

    def wait(self, timeout_s: float) -> bool:
        self._done.wait(timeout_s)
        with self._lock:
            self._abandoned = not self._done.is_set()
            return not self._abandoned


def import_franky() -> Any:
    """Return the module `franky`, imported only when a robot is wanted.

    Raises:
        MissingDependencyError: it is not installed, or is the unrelated package of the same name.
    """
    try:
        import franky
    except ImportError as error:
        raise MissingDependencyError(
            "franky is not installed; run: pip install franky-control (the PyPI package `franky` is something else)"
        ) from error
    if not hasattr(franky, "CartesianImpedanceTracker"):
        raise MissingDependencyError(
            "the installed `franky` has no CartesianImpedanceTracker; run: pip uninstall franky && "
            "pip install 'franky-control>=2'"
        )
    return franky


def _is_this_computer(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
