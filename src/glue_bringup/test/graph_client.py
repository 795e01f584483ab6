"""A node of the test's own in a graph under test: runs the task, calls services, keeps what it hears."""

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from glue_msgs.action import RunTask
from glue_msgs.msg import ActionChunk, RobotState, SafetyEvent
from launched import DOMAIN_ID, Launched
from rclpy.action import ActionClient
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from glue_bringup.nodes import names, qos
from glue_perception.bags import topics

WAIT_S = 240.0


class GraphClient:
    """Life cycle: built, `close`. What is heard is kept in the lists."""

    def __init__(self, launched: Launched, domain_id: int = DOMAIN_ID) -> None:
        self._launched = launched
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain_id)
        self.node = Node("test_client", context=self.context)
        self.events: list[SafetyEvent] = []
        self.chunks: list[ActionChunk] = []
        self.states: list[RobotState] = []
        self.diagnostics: dict[str, DiagnosticStatus] = {}
        hear = self.node.create_subscription
        hear(SafetyEvent, topics.SAFETY_EVENT, self.events.append, qos.EVENT)
        hear(ActionChunk, topics.ACTION_CHUNK, self.chunks.append, qos.ANSWER)
        hear(RobotState, topics.ROBOT_STATE, self.states.append, qos.SENSOR)
        hear(DiagnosticArray, "/diagnostics", self._diagnose, 10)
        self._run_task = ActionClient(self.node, RunTask, names.RUN_TASK)
        executor = SingleThreadedExecutor(context=self.context)
        executor.add_node(self.node)
        self._executor = executor
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            while self.context.ok():
                self._executor.spin_once(timeout_sec=0.1)

    def _diagnose(self, message: DiagnosticArray) -> None:
        self.diagnostics.update({status.name: status for status in message.status})

    def close(self) -> None:
        rclpy.try_shutdown(context=self.context)
        self._thread.join()
        self.node.destroy_node()

    def until(self, what: str, condition: Callable[[], Any], timeout_s: float = WAIT_S) -> Any:
        """Wait for something to be true of what was heard, and return it."""
        deadline_s = time.monotonic() + timeout_s
        while not (value := condition()):
            if self._launched.process.poll() is not None:
                pytest.fail(f"the graph has ended:\n{self._launched.text}")
            if time.monotonic() > deadline_s:
                pytest.fail(f"waited in vain for {what}; {self.last_words()}")
            time.sleep(0.01)
        return value

    def last_words(self) -> str:
        """What the arm and the nodes said last."""
        events = [f"{e.mode}: {e.reason}" for e in self.events[-5:]]
        return f"events {events}; nodes { {n: s.message for n, s in self.diagnostics.items()} }"

    @property
    def mode(self) -> tuple[str, str]:
        """Mode and reason of the arm now."""
        return (self.events[-1].mode, self.events[-1].reason) if self.events else ("", "")

    def call(self, kind: Any, name: str, request: Any = None) -> Any:
        """Call a service and return its response."""
        client = self.node.create_client(kind, name)
        self.until(name, client.service_is_ready)
        future = client.call_async(request or kind.Request())
        self.until(f"the answer of {name}", future.done)
        self.node.destroy_client(client)
        return future.result()

    def task_servers(self) -> set[bytes]:
        """Return who offers RunTask, as known here: a killed one is still known for ten seconds."""
        status = f"{names.RUN_TASK}/_action/status"
        return {bytes(info.endpoint_gid) for info in self.node.get_publishers_info_by_topic(status)}

    def run_task(self, **goal: Any) -> "Episode":
        """Send a goal and return it once accepted."""
        self.until(names.RUN_TASK, self._run_task.server_is_ready)
        feedback: list[Any] = []
        future = self._run_task.send_goal_async(
            RunTask.Goal(**goal), feedback_callback=lambda message: feedback.append(message.feedback)
        )
        self.until("an accepted goal", future.done)
        return Episode(self, future.result(), feedback)


class Episode:
    """A goal of RunTask."""

    def __init__(self, client: GraphClient, handle: Any, feedback: list[Any]) -> None:
        self._client, self._handle, self.feedback = client, handle, feedback
        self._result = handle.get_result_async()

    @property
    def over(self) -> bool:
        return bool(self._result.done())

    def result(self) -> Any:
        """Wait for the end and return the result."""
        self._client.until("the end of the episode", self._result.done)
        return self._result.result().result

    def cancel(self) -> None:
        """Ask for the end."""
        self._handle.cancel_goal_async()
