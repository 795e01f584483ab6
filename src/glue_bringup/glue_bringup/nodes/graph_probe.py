"""A node beside a graph that runs episodes and keeps what it hears, for measurements."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Self

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from glue_msgs.action import RunTask
from glue_msgs.msg import SafetyEvent
from glue_msgs.srv import RecoverFromError
from rclpy.action import ActionClient
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from glue_bringup.nodes import names, qos
from glue_perception.bags import topics
from glue_perception.bags.messages import stamp_ns_of
from glue_perception.errors import HardwareError

WAIT_S = 300.0


class GraphProbe:
    """Serves its own callbacks in a thread; a context manager ends it.

    Attributes:
        values: Node -> what it says in /diagnostics, by name.
        events: Stamps [ns] and modes of the arm, in their order.
    """

    def __init__(self, domain_id: int) -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain_id)
        self._node = Node("graph_probe", context=self._context)
        self.values: dict[str, dict[str, str]] = {}
        self.events: list[tuple[int, str]] = []
        self._node.create_subscription(SafetyEvent, topics.SAFETY_EVENT, self._event, qos.EVENT)
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._diagnose, qos.ANSWER)
        self._run_task = ActionClient(self._node, RunTask, names.RUN_TASK)
        self._recover = self._node.create_client(RecoverFromError, names.RECOVER_FROM_ERROR)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name="probe", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        rclpy.try_shutdown(context=self._context)
        self._thread.join(WAIT_S)
        self._node.destroy_node()

    @property
    def active(self) -> bool:
        """Whether the arm follows chunks."""
        return bool(self.events) and self.events[-1][1] == "active"

    def task_servers(self) -> set[bytes]:
        """Return who offers RunTask, as known here: a killed one is still known for ten seconds."""
        status = f"{names.RUN_TASK}/_action/status"
        return {bytes(info.endpoint_gid) for info in self._node.get_publishers_info_by_topic(status)}

    def until(self, what: str, condition: Callable[[], Any]) -> None:
        """Wait for something; HardwareError if it does not come."""
        deadline_s = time.monotonic() + WAIT_S
        while not condition():
            if time.monotonic() > deadline_s:
                raise HardwareError(f"waited {WAIT_S:g} s for {what} in vain; see what the graph says")
            time.sleep(0.005)

    def begin(self, seed: int) -> Callable[[], bool]:
        """Begin an episode, recovering from faults; return, once the arm follows, what says whether it is over."""
        while (result := self._attempt(seed)) is None:
            time.sleep(0.5)
        return result.done  # type: ignore[no-any-return]

    def _attempt(self, seed: int) -> Any:
        """Return the pending result of an episode in which the arm follows; None if it ended before."""
        self.until("/glue/run_task", self._run_task.server_is_ready)
        sent = self._run_task.send_goal_async(RunTask.Goal(seed=seed))
        self.until("the goal's acceptance", sent.done)
        result = sent.result().get_result_async()
        self.until("an arm that follows", lambda: self.active or result.done())
        if not result.done():
            return result
        if result.result().result.error_code == RunTask.Result.ROBOT_REFUSED:
            recovered = self._recover.call_async(RecoverFromError.Request())
            self.until("recovery", recovered.done)
        return None

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return

    def _event(self, message: SafetyEvent) -> None:
        self.events.append((stamp_ns_of(message), message.mode))

    def _diagnose(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.values[status.name] = {value.key: value.value for value in status.values}
