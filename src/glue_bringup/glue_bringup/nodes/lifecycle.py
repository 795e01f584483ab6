"""What all nodes share: a lifecycle that reports errors in one line, diagnostics, a clean shutdown."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.executors import Executor, MultiThreadedExecutor
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions

from glue_bringup.loop.peers import Peers
from glue_bringup.nodes import names, parameters
from glue_bringup.nodes.beacon import Beacon, watch
from glue_bringup.nodes.entities import EntityNode
from glue_perception.allocation import keep_freed_memory
from glue_perception.errors import GlueError
from glue_perception.scheduling import stand_back

DEFECT = 1
DIAGNOSTICS_PERIOD_S = 1.0
THREADS = 3
THREAD_SWITCH_S = 0.001
SPIN_S = 0.2
"""How long a signal may wait for the executor."""


@dataclass(frozen=True)
class Health:
    """What a node says of itself on /diagnostics.

    Attributes:
        ok: False is an error.
        words: How it fares.
        values: Counts, rates and latencies by name.
    """

    ok: bool
    words: str
    values: Mapping[str, str] = field(default_factory=dict)


class ShellNode(EntityNode):
    """A managed node whose transitions are four hooks: `configure`, `activate`, `deactivate`, `cleanup`.

    A `GlueError` in a hook is logged as one line and fails the transition. With the parameter `autostart` (the
    default) the node configures and activates itself, and a failure ends the process with the error's exit code;
    without it, a lifecycle manager decides.

    Attributes:
        exit_code: Of the process.
        lease_s: See the parameter.
        resources: Closed on clean-up and at the end, in reverse order.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.exit_code = 0
        self.resources = ExitStack()
        self._diagnostics: Any = None
        self._beacon: Beacon | None = None
        self.autostart = parameters.switch(
            self, "autostart", True, "configure and activate at once; false: wait for a lifecycle manager"
        )

        self.lease_s = parameters.number(
            self,
            "lease_s",
            0.12,
            0.05,
            5.0,
            "a node without a sign of life for this long [s] is gone, one whose work stands still for four times as "
            "long hangs: either way the arm is held; the same for all nodes",
        )

    def watch_others(self, *besides: str) -> Peers:
        """Return who else of the control path, and besides, is alive; kept from now on."""
        peers = Peers()
        others = [name for name in (*names.CONTROL_PATH, *besides) if name != self.get_name()]
        watch(self, others, self.lease_s, peers)
        return peers

    def configure(self) -> None:
        """Load weights, open hardware, create publishers and services."""

    def activate(self) -> None:
        """Begin to work."""

    def deactivate(self) -> None:
        """Stop working."""

    def step_s(self) -> float:
        """Return how long the step under way of the node's worker has taken [s]; too long a one counts as a hang."""
        return 0.0

    def diagnose(self) -> Health:
        """Return how an active node fares."""
        return Health(True, "active")

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run `configure`."""
        self.note_entities()
        result = self._transition(self.configure)
        self.keep_entities()
        if result != TransitionCallbackReturn.SUCCESS:
            self.close()
            self.destroy_entities()
        else:
            self.start_receiving()
        return result

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run `activate` once publishers are on."""
        super().on_activate(state)
        result = self._transition(self.activate)
        if result != TransitionCallbackReturn.SUCCESS:
            super().on_deactivate(state)
            return result
        self._beacon = Beacon(self, self.lease_s, self.step_s)
        if self._diagnostics is None:
            self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
            self.create_timer(DIAGNOSTICS_PERIOD_S, self._publish_diagnostics)
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run `deactivate`."""
        self._stop_beacon()
        super().on_deactivate(state)
        return self._transition(self.deactivate)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free what `configure` took."""
        result = self._transition(self.close)
        self.destroy_entities()
        return result

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free what `configure` took."""
        return self._transition(self.close)

    def close(self) -> None:
        """Free what `configure` took; may be called twice."""
        self._stop_beacon()
        self.stop_receiving()
        self.resources.close()

    def die(self, error: BaseException) -> None:
        """End the process with the error's exit code. Any thread."""
        self.get_logger().fatal(str(error) or repr(error))
        self.end(error.exit_code if isinstance(error, GlueError) else DEFECT)

    def end(self, exit_code: int) -> None:
        """End the process. Any thread."""
        self.exit_code = exit_code
        os.kill(os.getpid(), signal.SIGTERM)

    def bring_up(self) -> bool:
        """Configure and activate; return whether both went well."""
        for transition in (self.trigger_configure, self.trigger_activate):
            if transition() != TransitionCallbackReturn.SUCCESS:
                self.exit_code = self.exit_code or DEFECT
                return False
        self.get_logger().info("active")
        return True

    def _stop_beacon(self) -> None:
        if self._beacon is not None:
            self._beacon.close()
            self._beacon = None

    def _publish_diagnostics(self) -> None:
        health, misfits = self.diagnose(), self.misfits
        level = DiagnosticStatus.WARN if misfits else DiagnosticStatus.OK
        status = DiagnosticStatus(
            level=level if health.ok else DiagnosticStatus.ERROR,
            name=self.get_name(),
            message="; ".join((health.words, *misfits)),
            values=[KeyValue(key=key, value=value) for key, value in health.values.items()],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def _transition(self, work: Callable[[], None]) -> TransitionCallbackReturn:
        try:
            work()
        except GlueError as error:
            self.exit_code = error.exit_code
            self.get_logger().fatal(str(error))
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS


def answer(response: Any, work: Callable[[], None]) -> Any:
    """Do what a service asks; fill `success` and `message` of its response."""
    try:
        work()
    except GlueError as error:
        response.success, response.message = False, str(error)
    else:
        response.success, response.message = True, ""
    return response


class _Signals:
    """Ctrl-C and SIGTERM. Not rclpy's own handling, which takes the topics from workers that still use them."""

    def __init__(self) -> None:
        self._came = False
        self._spinning = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: object) -> None:
        self._came = True
        if not self._spinning:
            raise KeyboardInterrupt

    def spin(self, executor: Executor) -> None:
        """Serve callbacks until a signal comes."""
        self._spinning = True
        while not self._came:
            executor.spin_once(timeout_sec=SPIN_S)


def run_node(make: Callable[[], ShellNode], arguments: Sequence[str] | None = None, niceness: int = 0) -> int:
    """Run a node until Ctrl-C or SIGTERM (exit code 0) or an error (its exit code).

    Args:
        make: Its class.
        arguments: Of ROS; None: those of the process.
        niceness: How far it stands back for the others where processors are few.
    """
    keep_freed_memory()
    stand_back(niceness)
    rclpy.init(
        args=list(arguments) if arguments is not None else None,
        signal_handler_options=SignalHandlerOptions.NO,
    )
    executor = MultiThreadedExecutor(THREADS)  # first: it cannot be interrupted while it is made
    signals = _Signals()
    node: ShellNode | None = None
    try:
        node = make()
        if node.autostart and not node.bring_up():
            return node.exit_code
        # As in the real-time loop: no pauses of the collector among torch's objects, quick turns between threads.
        gc.freeze()
        sys.setswitchinterval(THREAD_SWITCH_S)
        executor.add_node(node)
        signals.spin(executor)
        node.close()
        executor.shutdown(timeout_sec=1.0)
    except GlueError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 0
    finally:
        if node is not None:
            node.close()
            node.destroy_node()
        rclpy.try_shutdown()
        gc.unfreeze()  # what is frozen is not freed at the end either, of which nanobind (ruckig) complains
    return node.exit_code
