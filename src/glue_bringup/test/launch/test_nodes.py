"""Nodes in this process: lifecycle transitions and their failures, parameters, and who does not understand whom."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="needs a sourced ROS 2 Jazzy")

from glue_msgs.action import RunTask  # noqa: E402
from glue_msgs.msg import KeyPatchArray  # noqa: E402
from launched import DOMAIN_ID, START_S  # noqa: E402
from rcl_interfaces.msg import Log  # noqa: E402
from rclpy.lifecycle import TransitionCallbackReturn  # noqa: E402
from rclpy.node import Node  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image  # noqa: E402
from served import served  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from waiting import until  # noqa: E402

from glue_bringup.nodes import camera_input, names, qos  # noqa: E402
from glue_bringup.nodes.actions import PromptActionClient  # noqa: E402
from glue_bringup.nodes.beacon import LEASES_PER_STEP  # noqa: E402
from glue_bringup.nodes.camera_node import CameraNode  # noqa: E402
from glue_bringup.nodes.lifecycle import ShellNode  # noqa: E402
from glue_bringup.nodes.perception_node import PerceptionNode  # noqa: E402
from glue_bringup.nodes.policy_node import PolicyNode  # noqa: E402
from glue_bringup.nodes.recorder_node import RecorderNode  # noqa: E402
from glue_bringup.nodes.sim_node import SimNode  # noqa: E402
from glue_bringup.nodes.task_node import TaskNode  # noqa: E402
from glue_bringup.nodes.view_node import ViewNode  # noqa: E402
from glue_perception.bags import topics  # noqa: E402
from glue_perception.errors import ConfigError  # noqa: E402
from glue_perception.ros_conversions import camera_info_to_ros, image_to_ros  # noqa: E402
from glue_perception.types import CameraFrame  # noqa: E402

pytestmark = [pytest.mark.ros, pytest.mark.timeout(300)]

OK, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


@contextmanager
def ros(**parameters: Any) -> Iterator[None]:
    """ROS with parameters for the nodes to come."""
    given = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
    rclpy.init(args=["--ros-args", *given], domain_id=DOMAIN_ID)
    try:
        yield
    finally:
        rclpy.shutdown()


@contextmanager
def made(kind: Callable[[], Any], **parameters: Any) -> Iterator[Any]:
    """A node as `served`, with ROS."""
    with ros(**parameters), served(kind()) as node:
        yield node


def entities(node: Any) -> list[str]:
    return sorted(
        [s.topic_name for s in node.subscriptions]
        + [p.topic_name for p in node.publishers]
        + [s.srv_name for s in node.services]
        + [c.srv_name for c in node.clients]
        + ["a timer" for _ in node.timers]
    )


@pytest.mark.parametrize("kind", [PerceptionNode, TaskNode])
def test_a_cleaned_up_node_can_be_configured_again_and_has_nothing_twice(kind: Callable[[], Any]) -> None:
    with made(kind) as node:
        bare = entities(node)
        seen = []
        for _ in range(2):
            for transition in (node.trigger_configure, node.trigger_activate):
                assert transition() == OK
            seen.append(entities(node))
            for transition in (node.trigger_deactivate, node.trigger_cleanup):
                assert transition() == OK
        assert len(seen[0]) > len(bare)
        assert seen[0] == seen[1]
        # Diagnostics, once there, stay.
        assert [e for e in entities(node) if e not in ("/diagnostics", "a timer")] == bare


@pytest.mark.parametrize(
    ("kind", "parameters", "exit_code"),
    [
        (PerceptionNode, {"task": "push_buton"}, 2),
        (PerceptionNode, {"profile": "full"}, 9),
        (PolicyNode, {"checkpoint": "nowhere"}, 4),
        (CameraNode, {"source": "/no/such/clip.mp4"}, 2),
    ],
)
def test_what_cannot_be_configured_says_why_and_stays_unconfigured(
    kind: Callable[[], Any], parameters: dict[str, Any], exit_code: int
) -> None:
    with made(kind, **parameters) as node:
        bare = entities(node)
        assert node.trigger_configure() == FAILURE
        assert node.exit_code == exit_code
        assert entities(node) == bare
        assert node.trigger_configure() == FAILURE  # it may be tried again


@pytest.mark.parametrize(
    ("kind", "parameters", "words"),
    [
        (SimNode, {"seed": -4}, "seed"),
        (SimNode, {"seed": "many"}, "must be a int"),
        (PerceptionNode, {"profile": "fulll"}, "full"),
        (PerceptionNode, {"simulated": 3}, "must be a bool"),
        (TaskNode, {"lease_s": 0.001}, "lease_s"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(
    kind: Callable[[], Any], parameters: dict[str, Any], words: str
) -> None:
    with ros(**parameters), pytest.raises(ConfigError, match=words):
        kind()


def test_who_does_not_understand_whom_is_said() -> None:
    with made(PerceptionNode) as node:
        assert (node.trigger_configure(), node.trigger_activate()) == (OK, OK)
        assert node.misfits == ()
        other = Node("other")
        other.create_subscription(KeyPatchArray, topics.KEY_PATCHES, lambda message: None, qos.KEPT)
        until(lambda: any(topics.KEY_PATCHES in words for words in node.misfits))
        assert any("DURABILITY" in words for words in node.misfits)
        other.create_publisher(String, topics.IMAGE, qos.SENSOR)
        until(lambda: any("std_msgs/msg/String" in words for words in node.misfits))
        other.destroy_node()
        until(lambda: not any("std_msgs/msg/String" in words for words in node.misfits))


class Worked(ShellNode):
    """A node whose worker has been at its step for as long as the test says."""

    def __init__(self) -> None:
        super().__init__("worked_node")
        self.at_it_s = 0.0

    def step_s(self) -> float:
        return self.at_it_s


class Watcher(ShellNode):
    """A node that depends on the other."""

    def __init__(self) -> None:
        super().__init__("watcher")

    def configure(self) -> None:
        self.peers = self.watch_others("worked_node")


def test_a_node_whose_worker_hangs_is_missed_until_it_goes_on() -> None:
    with ros(lease_s=1.0), served(Watcher()) as watcher, served(Worked()) as node:
        assert (watcher.trigger_configure(), watcher.trigger_activate()) == (OK, OK)
        assert (node.trigger_configure(), node.trigger_activate()) == (OK, OK)

        node.at_it_s = 1.1 * LEASES_PER_STEP
        until(lambda: watcher.peers.lost() == ("worked_node",))
        assert not watcher.peers.is_down("worked_node")
        watcher.peers.forget_lost()  # the next episode, too, has to wait for it
        until(lambda: watcher.peers.lost() == ("worked_node",))
        node.at_it_s = 0.9 * LEASES_PER_STEP
        until(lambda: (watcher.peers.forget_lost(), not watcher.peers.lost())[1])


def test_ctrl_c_ends_a_node_with_exit_code_0(tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    cv2.imwrite(str(picture), np.zeros((24, 32, 3), np.uint8))
    command = [
        sys.executable,
        "-m",
        "glue_bringup.nodes",
        "camera_node",
        "--ros-args",
        "-p",
        f"source:={picture}",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        lines = []
        while "active" not in (line := process.stderr.readline()):
            lines.append(line)
            assert line, lines
        process.send_signal(signal.SIGINT)
        assert process.wait(START_S) == 0
        assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize("kind", [PerceptionNode, PolicyNode, RecorderNode, ViewNode])
def test_an_image_that_cannot_be_used_is_said_and_the_next_one_is_taken(
    kind: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[CameraFrame] = []
    frame_from_ros = camera_input.frame_from_ros

    def noting(*arguments: Any) -> CameraFrame:
        taken.append(frame_from_ros(*arguments))
        return taken[-1]

    monkeypatch.setattr(camera_input, "frame_from_ros", noting)
    frame = CameraFrame(10**18, "camera", np.zeros((24, 32, 3), np.uint8), np.diag([30.0, 30.0, 1.0]))
    with made(kind, out=tmp_path) as node:
        assert (node.trigger_configure(), node.trigger_activate()) == (OK, OK)
        camera = Node("camera")
        said: list[Log] = []
        camera.create_subscription(Log, "/rosout", said.append, 100)
        images = camera.create_publisher(Image, topics.IMAGE, qos.SENSOR)
        infos = camera.create_publisher(CameraInfo, topics.CAMERA_INFO, qos.SENSOR)
        good, bad = image_to_ros(frame), image_to_ros(frame)
        bad.step = 16

        def sent(image: Image, came: Callable[[], bool]) -> bool:
            infos.publish(camera_info_to_ros(frame))
            images.publish(image)
            rclpy.spin_once(camera, timeout_sec=0.05)
            return came()

        words = f"a message on {topics.IMAGE} was left out: an image of 32 x 24 rgb8 with 16 bytes a row"
        until(lambda: sent(bad, lambda: any(words in log.msg for log in said)))
        assert not taken
        until(lambda: sent(good, lambda: bool(taken)))
        camera.destroy_node()


class Handle:
    """A client's handle whose requests are answered before it returns from sending them."""

    def __init__(self, handle: Any) -> None:
        self._handle, self.answered = handle, threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handle, name)

    def send_goal_request(self, goal: Any) -> Any:
        number = self._handle.send_goal_request(goal)
        assert self.answered.wait(START_S)
        time.sleep(0.1)  # for whoever took the answer to go on with it
        return number

    def take_goal_response(self, kind: Any) -> Any:
        self.answered.set()
        return self._handle.take_goal_response(kind)


def test_an_answer_that_comes_before_it_is_waited_for_is_not_lost() -> None:
    with made(TaskNode) as node:
        assert (node.trigger_configure(), node.trigger_activate()) == (OK, OK)
        with served(Node("asker")) as asker:
            client = PromptActionClient(asker, RunTask, names.RUN_TASK)
            client._client_handle = Handle(client._client_handle)
            until(client.server_is_ready)
            goal = client.send_goal_async(RunTask.Goal(task="fold_towel"))
            until(goal.done)
            result = goal.result().get_result_async()
            until(result.done)
            assert result.result().result.error_code == RunTask.Result.UNKNOWN_TASK
            client.destroy()
