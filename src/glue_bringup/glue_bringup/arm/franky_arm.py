"""A Franka arm, real or simulated at protocol level, through franky."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import numpy as np
from jaxtyping import Float

from glue_bringup.arm.franky_config import FrankyArmConfig, Realtime
from glue_bringup.arm.franky_faults import MODE_REMEDIES, ArmFault, ArmFaultError, fault_error
from glue_bringup.arm.handshake import COMMAND_PORT, read_request
from glue_bringup.arm.impedance_gains import ImpedanceGains
from glue_bringup.arm.limits import RobotModel, limits_for
from glue_bringup.arm.model_check import model_in
from glue_bringup.arm.target_watchdog import TargetWatchdog
from glue_bringup.arm.timed_call import call_within
from glue_perception.errors import MissingDependencyError, NotReadyError
from glue_perception.types import RobotState

__all__ = ["FrankyArm", "FrankyArmConfig", "Realtime", "import_franky"]

_LISTENER = "127.77.13.37"
STOP_TIMEOUT_S = 3.0
"""libfranka gives up on a silent robot after one second; coming to rest takes less than two."""


class FrankyArm:
    """The arm under franky's Cartesian impedance tracking at 1 kHz, which runs in a thread of franky's own.

    Life cycle as `ArmDriver`. `start` may be called again after `stop`. One thread calls it. What fails is raised as
    `ArmFaultError`, a `HardwareError` with the cause for programs.

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
        self._watchdog: TargetWatchdog | None = None
        self._timed_out = False
        # Held by whoever sets a target or ends control: the watchdog does so from a thread of its own.
        self._lock = threading.Lock()
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
        config = self._config
        try:
            self._check_mode()
            payload = config.payload
            self._robot.set_collision_behavior(config.collision_torque_nm, config.collision_force_n)
            self._robot.set_load(payload.mass_kg, payload.center_of_mass_m, payload.inertia_kg_m2)
            self._tracker = self._new_tracker()
        except (self._franky.Exception, RuntimeError) as error:
            raise fault_error(f"the robot at {config.robot_ip} does not start", error) from error
        self._timed_out = False
        if config.target_timeout_s is not None:
            self._watchdog = TargetWatchdog(config.target_timeout_s, self._on_target_timeout)

    def state(self) -> RobotState:
        """Return the newest state, stamped with the time of its arrival.

        Takes microseconds while control is on, and up to a millisecond (until the next packet) while it is off.

        Raises:
            HardwareError: the connection is lost or control has ended; the message names the cause.
        """
        self._check_control()
        address = self._config.robot_ip
        try:
            state = self._robot.state
        except (self._franky.Exception, RuntimeError) as error:
            raise fault_error(f"the robot at {address} is lost", error) from error
        now_ns = time.time_ns()
        robot_time_ms = state.time.to_msec()
        if robot_time_ms != self._robot_time_ms:
            self._robot_time_ms, self._fresh_ns = robot_time_ms, now_ns
        silent_s = (now_ns - self._fresh_ns) / 1e9
        if silent_s > self._config.silence_timeout_s:
            raise ArmFaultError(
                f"the robot at {address} is silent since {silent_s:.2f} s; check its power and cable, "
                "then call recover",
                ArmFault.CONNECTION,
            )
        pose = state.O_T_EE.matrix
        return RobotState(
            stamp_ns=self._fresh_ns,
            joint_position_rad=state.q,
            joint_velocity_rad_s=state.dq,
            T_base_ee=pose,
            gripper_width_m=self._gripper_width_m(),
            external_wrench=wrench_on_tool(state, pose[:3, :3]),
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
        with self._lock:
            if self._timed_out:  # meanwhile
                return
            self._tracker.set_target(self._franky.Affine(T_base_ee))
        if self._watchdog is not None:
            self._watchdog.note_target()

    def stop(self) -> None:
        """Come to rest and switch control off. Safe to call twice and after a fault; takes 3 s at most."""
        if self._watchdog is not None:
            self._watchdog.stop()
            self._watchdog = None
        with self._lock:
            tracker, self._tracker = self._tracker, None
            if tracker is not None:
                self._come_to_rest()
        self._timed_out = False

    def close(self) -> None:
        """Stop and let the robot go, which takes one program at a time; the arm cannot be used afterwards."""
        self.stop()
        self._robot = None

    def recover(self) -> None:
        """Bring the arm back to where `start` works, after a reflex, an error or a lost connection.

        Ends control, connects again where the connection is broken, and clears the robot's errors. Nothing moves;
        `start` then begins at the pose in which the arm is.

        Raises:
            HardwareError: a person has to act first; the message says how.
        """
        self.stop()
        address = self._config.robot_ip
        if not self._answers():
            self._robot = None  # ends the old connection first: a robot takes one at a time
            self._robot = self._connect()
            self._check_model()
        try:
            recovered = self._robot.recover_from_errors()
        except (self._franky.Exception, RuntimeError) as error:
            raise fault_error(f"the robot at {address} cannot recover", error) from error
        if not recovered:
            raise ArmFaultError(
                f"the robot at {address} did not recover; look at Desk for the reason", ArmFault.UNKNOWN
            )
        self._fresh_ns = time.time_ns()
        try:
            self._check_mode()
        except (self._franky.Exception, RuntimeError) as error:
            raise fault_error(f"the robot at {address} cannot recover", error) from error

    def recover_from_errors(self) -> None:
        """Do as `recover`, whose former name this is."""
        self.recover()

    def _check_mode(self) -> None:
        """Refuse a mode in which no motion can start."""
        mode = self._robot.state.robot_mode.name
        if mode in MODE_REMEDIES:
            fault, advice = MODE_REMEDIES[mode]
            raise ArmFaultError(f"the robot at {self._config.robot_ip} is in mode {mode}; {advice}", fault)

    def _new_tracker(self) -> Any:
        gains, limits = self._gains, limits_for(self._config.robot_model)
        return self._franky.CartesianImpedanceTracker(
            self._robot,
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

    def _on_target_timeout(self) -> None:
        with self._lock:
            if self._tracker is not None:
                self._timed_out = True
                self._come_to_rest()

    def _come_to_rest(self) -> None:
        try:
            if self._robot.is_in_control:
                self._robot.move(self._franky.TorqueStopMotion(), asynchronous=True)
            self._robot.join_motion(STOP_TIMEOUT_S)
        except (self._franky.Exception, RuntimeError):
            # Control has already ended by a fault, which `state` or `set_target` reports; the brakes hold the arm.
            return

    def _answers(self) -> bool:
        """Return whether new states still come."""
        try:
            before_ms = self._robot.state.time.to_msec()
            deadline_s = time.monotonic() + 0.2
            while time.monotonic() < deadline_s:
                if self._robot.state.time.to_msec() != before_ms:
                    return True
        except (self._franky.Exception, RuntimeError, AttributeError):
            return False
        return False

    def _check_control(self) -> None:
        """Raise what ended control, if it was on and has ended."""
        address = self._config.robot_ip
        if self._timed_out:
            raise ArmFaultError(
                f"no target came for {self._config.target_timeout_s:g} s, so the arm at {address} was brought to "
                "rest; see why its caller was late, then stop and start again",
                ArmFault.TARGET_TIMEOUT,
            )
        if self._tracker is None or self._robot.is_in_control:
            return
        what = f"control of the robot at {address} has ended"
        try:
            self._robot.poll_motion()
        except (self._franky.Exception, RuntimeError) as error:
            raise fault_error(what, error) from error
        raise ArmFaultError(
            f"{what} without a reason given; look at Desk, then start again", ArmFault.UNKNOWN
        )

    def _connect(self) -> Any:
        """Return a connected franky.Robot, or raise HardwareError by the time-out."""
        config = self._config
        try:
            return call_within(
                lambda: self._franky.Robot(config.robot_ip, realtime_config=self._realtime_config()),
                config.connect_timeout_s,
                "franky-connect",
            )
        except TimeoutError as error:
            raise ArmFaultError(self._silence(config.robot_ip), ArmFault.CONNECTION) from error
        except (self._franky.Exception, RuntimeError) as error:
            raise fault_error(f"cannot connect to the robot at {config.robot_ip}", error) from error

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
        """Refuse a robot that is not the configured model."""
        wanted, address = self._config.robot_model, self._config.robot_ip
        try:
            description: str | None = str(self._robot.model_urdf)
        except AttributeError:  # libfranka 0.9.x
            description = None
        except (self._franky.Exception, RuntimeError):
            return
        found = model_in(description)
        if found is None or found is wanted:
            return
        name = {RobotModel.PANDA: "a Panda", RobotModel.FR3: "an FR3 (the twin is one too)"}[found]
        wheel = (
            ". A Panda needs a franky-control wheel for libfranka 0.9.x" if wanted is RobotModel.PANDA else ""
        )
        raise ArmFaultError(
            f"robot_model is {wanted.value}, but the robot at {address} is {name}; "
            f"set robot_model: {found.value}{wheel}",
            ArmFault.VERSION,
        )


def wrench_on_tool(state: Any, rotation: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "6"]:
    """Return the robot's estimate of what acts on its tool [N, Nm], base frame, torque about the tool.

    libfranka counts what the robot exerts on the world. Its `K_F_ext_hat_K` is taken, which is about the stiffness
    frame, the tool's; about the base, a lever arm of half a metre would drown the torque.
    """
    wrench = np.array(state.K_F_ext_hat_K)
    return -np.concatenate([rotation @ wrench[:3], rotation @ wrench[3:]])


def spoken_server_version(timeout_s: float = 2.0) -> int | None:
    """Return the server version that the installed libfranka speaks; None if it does not connect.

    libfranka does not tell it, but says it to every robot; so it is asked to connect to a listener on this computer.

    Raises:
        MissingDependencyError: franky is not installed.
    """
    franky = import_franky()
    with socket.create_server((_LISTENER, COMMAND_PORT)) as server:
        server.settimeout(timeout_s)

        def connect() -> None:
            with contextlib.suppress(franky.Exception, RuntimeError):
                franky.Robot(_LISTENER, realtime_config=franky.RealtimeConfig.Ignore)

        thread = threading.Thread(target=connect, name="franky-version", daemon=True)
        thread.start()
        try:
            link, _ = server.accept()
            with link:
                link.settimeout(timeout_s)
                version = read_request(link)
        except OSError:
            return None
        thread.join(timeout_s)
        return version


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
