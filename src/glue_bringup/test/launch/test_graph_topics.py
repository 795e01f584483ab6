"""What runs over the topics of the users' own sim.launch.py, seen from a node beside the graph."""

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pytest

launch_pytest = pytest.importorskip("launch_pytest", reason="needs a sourced ROS 2 Jazzy")

import rclpy  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from glue_msgs.action import RunTask  # noqa: E402
from glue_msgs.msg import ActionChunk, KeyPatchArray, RobotState, TargetPose  # noqa: E402
from glue_msgs.srv import RecoverFromError  # noqa: E402
from launch import LaunchDescription  # noqa: E402
from launch.actions import IncludeLaunchDescription  # noqa: E402
from launched import LAUNCH, START_S, patient_task  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.qos import HistoryPolicy, QoSProfile  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402

from glue_bringup.nodes import names, qos  # noqa: E402
from glue_bringup.nodes.actions import PromptActionClient  # noqa: E402
from glue_perception.bags import topics  # noqa: E402

pytestmark = [pytest.mark.ros, pytest.mark.render, pytest.mark.slow, pytest.mark.timeout(600)]

SEEN = {
    topics.IMAGE: (Image, qos.SENSOR),
    topics.KEY_PATCHES: (KeyPatchArray, qos.ANSWER),
    topics.ACTION_CHUNK: (ActionChunk, qos.ANSWER),
    topics.ROBOT_STATE: (RobotState, qos.SENSOR),
    topics.TARGET: (TargetPose, qos.SENSOR),
    "/diagnostics": (DiagnosticArray, qos.ANSWER),
}
NODES = {"sim_node", "perception_node", "policy_node", "arm_node", "task_node"}
CHUNKS = 10


@launch_pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> LaunchDescription:
    task = patient_task(tmp_path_factory.mktemp("task"))
    arguments = {"task": str(task), "python": sys.executable, "lease_s": "1.0", "run": "false"}
    file = IncludeLaunchDescription(str(LAUNCH / "sim.launch.py"), launch_arguments=arguments.items())
    return LaunchDescription([file, launch_pytest.actions.ReadyToTest()])


class Listener(Node):
    """Keeps every message of the topics in `SEEN`, and has an episode run for as long as it is waited for them."""

    def __init__(self) -> None:
        super().__init__("listener")
        self.messages: dict[str, list[Any]] = defaultdict(list)
        for topic, (kind, quality) in SEEN.items():
            # Deep enough for seconds in which this process is not run.
            deep = QoSProfile(reliability=quality.reliability, history=HistoryPolicy.KEEP_LAST, depth=1000)
            self.create_subscription(kind, topic, self.messages[topic].append, deep)
        self._run_task = PromptActionClient(self, RunTask, names.RUN_TASK)
        self._recover = self.create_client(RecoverFromError, names.RECOVER_FROM_ERROR)
        self._goal: Any = None
        self._result: Any = None
        self._recovery: Any = None

    def spin_until(self, condition: Callable[[], bool], what: str) -> None:
        deadline_s = time.monotonic() + START_S
        while not condition():
            assert time.monotonic() < deadline_s, f"{what}: not within {START_S:g} s"
            self._keep_an_episode_running()
            rclpy.spin_once(self, timeout_sec=0.1)

    def _keep_an_episode_running(self) -> None:
        """Where the processors are taken away for long the simulated robot ends one, and waits for recovery."""
        if self._goal is None:
            if self._run_task.server_is_ready() and (self._recovery is None or self._recovery.done()):
                self._goal = self._run_task.send_goal_async(RunTask.Goal())
        elif self._result is None:
            if self._goal.done():
                self._result = self._goal.result().get_result_async()
        elif self._result.done():
            if self._result.result().result.error_code == RunTask.Result.ROBOT_REFUSED:
                self._recovery = self._recover.call_async(RecoverFromError.Request())
            self._goal = self._result = None

    def stamps(self, topic: str) -> set[tuple[int, int]]:
        return {(m.header.stamp.sec, m.header.stamp.nanosec) for m in self.messages[topic]}


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    rclpy.init()
    node = Listener()
    yield node
    node.destroy_node()
    rclpy.shutdown()


@pytest.mark.launch(fixture=graph)
def test_one_stamp_goes_from_the_image_to_the_chunk(listener: Listener) -> None:
    listener.spin_until(lambda: len(listener.messages[topics.ACTION_CHUNK]) >= CHUNKS, "chunks")
    chunks, key_patches = listener.stamps(topics.ACTION_CHUNK), listener.stamps(topics.KEY_PATCHES)
    assert len(chunks) == len(listener.messages[topics.ACTION_CHUNK]), "two chunks for one observation"
    # The listener may have joined after the key-patches of the first chunks.
    later = {stamp for stamp in chunks if stamp >= min(key_patches)}
    listener.spin_until(
        lambda: later <= listener.stamps(topics.KEY_PATCHES), "the key-patches of every chunk"
    )
    assert len(later) > CHUNKS / 2
    images = listener.stamps(topics.IMAGE)
    # Images are best effort with a depth of one: some of them are lost on the way here, none is invented.
    assert len(key_patches & images) > len(key_patches) / 4


@pytest.mark.launch(fixture=graph)
def test_targets_have_one_source(listener: Listener) -> None:
    for topic in (topics.TARGET, topics.TARGET_POSE, topics.ROBOT_STATE):
        listener.spin_until(lambda t=topic: listener.get_publishers_info_by_topic(t), f"who sends {topic}")
        (publisher,) = listener.get_publishers_info_by_topic(topic)
        assert publisher.node_name == "arm_node"


@pytest.mark.launch(fixture=graph)
def test_every_node_says_how_it_fares(listener: Listener) -> None:
    def said() -> dict[str, Any]:
        return {status.name: status for m in listener.messages["/diagnostics"] for status in m.status}

    listener.spin_until(lambda: said().keys() >= NODES, "diagnostics of every node")
    values = {value.key for value in said()["policy_node"].values}
    assert any("p95" in value for value in values), values
