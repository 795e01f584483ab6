"""The Franka Hand, real or simulated at protocol level, through franky."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

from glue_bringup.arm.franky_arm import import_franky
from glue_bringup.arm.franky_faults import explain
from glue_bringup.gripper.request_filter import RequestFilter
from glue_bringup.gripper.travel import Travel
from glue_perception.errors import ConfigError, HardwareError

MAX_WIDTH_M = 0.08


@dataclass(frozen=True)
class FrankyGripperConfig:
    """How the fingers move.

    Attributes:
        speed_m_s: Change of the opening; 0.1 m/s is the hand's top speed.
        force_n: Force on a grasped object.
        grasp_width_m: Closing to this opening or less is a grasp, which holds an object with `force_n`; to a wider
            one it is a plain move.
        max_width_m: Openings are clamped to 0 .. this.
        dead_band_m: A request that differs less than this from the one in force is ignored.
        hysteresis_m: A turn (closing after opening or the reverse) must go back by this much.
        debounce_s: A turn must stand for this long; see `RequestFilter`.
        dead_time_s: From a command until the fingers move, for the model of their travel; `glue calibrate latency`
            measures it.
        poll_s: Time between two readings of the opening.
        motion_timeout_s: A motion that takes longer counts as a fault.
        connect_timeout_s: A hand that has not answered by then is given up.

    Raises:
        ConfigError: a value out of range.
    """

    speed_m_s: float = 0.1
    force_n: float = 20.0
    grasp_width_m: float = MAX_WIDTH_M
    max_width_m: float = MAX_WIDTH_M
    dead_band_m: float = 0.005
    hysteresis_m: float = 0.01
    debounce_s: float = 0.1
    dead_time_s: float = 0.05
    poll_s: float = 0.02
    motion_timeout_s: float = 5.0
    connect_timeout_s: float = 3.0

    def __post_init__(self) -> None:
        ranges = {
            "speed_m_s": 0.1,
            "force_n": 70.0,
            "dead_band_m": 0.04,
            "poll_s": 1.0,
            "max_width_m": MAX_WIDTH_M,
        }
        for name, high in {**ranges, "motion_timeout_s": 60.0, "connect_timeout_s": 60.0}.items():
            if not 0.0 < getattr(self, name) <= high:
                raise ConfigError(f"gripper {name} must lie in 0..{high:g}, not {getattr(self, name)}")
        for name, high in {"grasp_width_m": MAX_WIDTH_M, "debounce_s": 1.0, "dead_time_s": 1.0}.items():
            if not 0.0 <= getattr(self, name) <= high:
                raise ConfigError(f"gripper {name} must lie in 0..{high:g}, not {getattr(self, name)}")
        if not self.dead_band_m <= self.hysteresis_m <= MAX_WIDTH_M:
            raise ConfigError(
                f"gripper hysteresis_m must lie between dead_band_m ({self.dead_band_m:g}) and {MAX_WIDTH_M:g}, "
                f"not {self.hysteresis_m:g}"
            )
        if MAX_WIDTH_M / self.speed_m_s + self.dead_time_s > self.motion_timeout_s:
            raise ConfigError(
                f"gripper speed_m_s {self.speed_m_s:g} needs {MAX_WIDTH_M / self.speed_m_s:.1f} s for the whole "
                f"stroke, more than motion_timeout_s {self.motion_timeout_s:g}; raise one of them"
            )


class FrankyGripper:
    """The hand behind two daemon threads: one moves it, one reads its opening. The caller never waits.

    Closing is a grasp, which stops at an object and holds it with `force_n`; opening is a move. A motion under way is
    not interrupted; of the requests made meanwhile the newest counts. Trembling requests are filtered.
    Any thread may call it.

    Args:
        robot_ip: Address of the robot that carries the hand.
        config: How the fingers move.

    Raises:
        HardwareError: there is no hand, or it does not answer.
        MissingDependencyError: franky is not installed.
    """

    def __init__(self, robot_ip: str, config: FrankyGripperConfig | None = None) -> None:
        self._robot_ip = robot_ip
        self._config = config or FrankyGripperConfig()
        self._franky = import_franky()
        self._lock = threading.Condition()
        self._requests = RequestFilter(
            self._config.dead_band_m, self._config.hysteresis_m, self._config.debounce_s
        )
        self._travel: Travel | None = None
        self._width_m: float | None = None
        self._motion_since_s: float | None = None
        self._fault: str | None = None
        self._stopping = False
        threading.Thread(target=self._guarded_open, name="gripper-open", daemon=True).start()
        with self._lock:
            self._lock.wait_for(
                lambda: self._width_m is not None or self._fault, self._config.connect_timeout_s
            )
            if self._fault is None and self._width_m is None:
                self._fault = (
                    f"the gripper at {robot_ip} has not answered within {self._config.connect_timeout_s:g} s; "
                    "check the address and end other programs that are connected to it"
                )
            if self._fault:
                self._stopping = True
                raise HardwareError(self._fault)

    def command(self, width_m: float) -> None:
        """Ask for an opening [m], clamped to 0 .. `max_width_m`; returns at once. See `RequestFilter`.

        Raises:
            HardwareError: the gripper reported a fault, or a motion does not end.
        """
        with self._lock:
            self._check_motion()
            if self._fault is not None:
                raise HardwareError(self._fault)
            before = self._requests.waiting
            self._requests.request(min(max(width_m, 0.0), self._config.max_width_m), time.monotonic())
            if self._requests.waiting is not before:  # woken at every tick, its thread would hold up control
                self._lock.notify_all()

    def width_m(self) -> float:
        """Return the opening [m] as last read, some 20 ms ago."""
        width_m = self._width_m
        return 0.0 if width_m is None else width_m

    @property
    def travel(self) -> Travel | None:
        """The motion under way as modelled, on the clock of `time.monotonic`; None at rest."""
        return self._travel

    def stop(self) -> None:
        """Drop what is waiting, let a motion under way end, and let the threads go. Safe to call twice."""
        with self._lock:
            self._requests.clear()
            self._stopping = True
            self._lock.notify_all()
            # libfranka cannot take back a motion whose gripper is gone: then its thread is left behind.
            self._lock.wait_for(
                lambda: self._motion_since_s is None or self._fault, self._config.motion_timeout_s
            )

    def _check_motion(self) -> None:
        since_s = self._motion_since_s
        if since_s is not None and time.monotonic() - since_s > self._config.motion_timeout_s:
            self._fail(
                f"a motion of the gripper at {self._robot_ip} has not ended; check that its fingers are free"
            )

    def _fail(self, message: str) -> None:
        with self._lock:
            self._fault = self._fault or message
            self._lock.notify_all()

    def _guarded_open(self) -> None:
        try:
            gripper = self._franky.Gripper(self._robot_ip)
            with self._lock:
                self._width_m = float(gripper.width)
                self._lock.notify_all()
        except (self._franky.Exception, RuntimeError) as error:
            self._fail(explain(f"cannot connect to the gripper at {self._robot_ip}", error))
            return
        for work in (self._move, self._read):
            threading.Thread(target=self._guarded, args=(work, gripper), name="gripper", daemon=True).start()

    def _guarded(self, work: Any, gripper: Any) -> None:
        try:
            work(gripper)
        except (self._franky.Exception, RuntimeError) as error:
            self._fail(explain(f"the gripper at {self._robot_ip} failed", error))
        finally:
            with self._lock:
                self._motion_since_s = None if work == self._move else self._motion_since_s
                self._lock.notify_all()

    def _move(self, gripper: Any) -> None:
        """Carry out the newest request, one after the other."""
        config = self._config
        last_m = self.width_m()
        while True:
            with self._lock:
                self._motion_since_s = self._travel = None
                self._lock.notify_all()
                width_m = self._next_width_m()
                if width_m is None:
                    return
                now_s = self._motion_since_s = time.monotonic()
                self._travel = Travel(self.width_m(), width_m, now_s, config.speed_m_s, config.dead_time_s)
            if width_m < last_m and width_m <= config.grasp_width_m:
                # Any width counts as grasped: whether an object was caught is for the policy to see.
                gripper.grasp(width_m, config.speed_m_s, config.force_n, MAX_WIDTH_M, MAX_WIDTH_M)
            else:
                gripper.move(width_m, config.speed_m_s)
            last_m = width_m

    def _next_width_m(self) -> float | None:
        """Wait for a request whose time has come; None once stopping. The lock is held."""
        while not self._stopping:
            now_s = time.monotonic()
            width_m = self._requests.take(now_s)
            if width_m is not None:
                return width_m
            waiting = self._requests.waiting
            self._lock.wait(None if waiting is None else max(0.0, waiting.not_before_s - now_s))
        return None

    def _read(self, gripper: Any) -> None:
        while not self._stopping:
            self._width_m = float(gripper.width)
            time.sleep(self._config.poll_s)
