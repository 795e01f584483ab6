"""One running graph of sim.launch.py: episodes, cancelling, operators, lost nodes; it stays one and the same."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

pytest.importorskip("rclpy", reason="needs a sourced ROS 2 Jazzy")

from glue_msgs.action import RunTask
from glue_msgs.msg import ActionChunk, KeyPatchArray, RobotState
from glue_msgs.srv import (
    ComeToRest,
    EmergencyStop,
    Hold,
    RecoverFromError,
    Release,
    ResetEmergencyStop,
    StartPolicy,
    StopPolicy,
)
from graph_client import Episode, GraphClient
from launched import Launched, patient_task
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from sensor_msgs.msg import CameraInfo, Image

from glue_bringup.nodes import names, qos
from glue_perception.bags import topics

pytestmark = [pytest.mark.ros, pytest.mark.render, pytest.mark.slow, pytest.mark.timeout(600)]

R = RunTask.Result
LEASE_S = 1.0
"""The default, 0.12 s, raises false alarms where four test runs share two processors."""


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    task = patient_task(tmp_path_factory.mktemp("task"))
    launched = Launched("sim.launch.py", f"task:={task}", "run:=false", f"lease_s:={LEASE_S}")
    yield launched
    launched.end()
    assert launched.process.returncode == 0, launched.text
    assert "Traceback" not in launched.text, launched.text
    assert "leaked" not in launched.text, launched.text


@pytest.fixture(scope="module")
def client(graph: Launched) -> Iterator[GraphClient]:
    client = GraphClient(graph)
    yield client
    client.close()


def running(client: GraphClient) -> Episode:
    """Return an episode in which the arm follows; where one does not get so far, recover and begin another."""

    def attempt() -> Episode | None:
        episode = client.run_task(task="push_button", seed=1)
        client.until("an arm that follows", lambda: client.mode[0] == "active" or episode.over)
        if not episode.over:
            return episode
        if episode.result().error_code == R.ROBOT_REFUSED:
            client.call(RecoverFromError, names.RECOVER_FROM_ERROR)
        return None

    return client.until("an episode", attempt)


def ended(client: GraphClient, episode: Episode) -> int:
    """Cancel an episode, wait for its end and return its error code."""
    episode.cancel()
    code = episode.result().error_code
    client.until("an arm at rest", lambda: client.mode[0] == "hold")
    return code


def test_chunks_go_on_from_what_the_arm_does(client: GraphClient) -> None:
    episode = running(client)
    client.until("chunks with frozen actions (seam inpaint)", lambda: any(c.frozen for c in client.chunks))
    client.until("the stages", lambda: {f.stage for f in episode.feedback} >= {"starting", "running"})
    refused = client.run_task().result()
    assert (refused.error_code, episode.over) == (R.BUSY, False)
    assert ended(client, episode) == R.CANCELED
    assert client.mode[1] == "waiting"


def test_a_task_that_the_graph_does_not_run_is_refused(client: GraphClient) -> None:
    result = client.run_task(task="fold_towel").result()
    assert result.error_code == R.UNKNOWN_TASK
    assert "task:=fold_towel" in result.message


def test_the_operator_holds_and_releases(client: GraphClient) -> None:
    episode = running(client)
    assert client.call(Hold, names.HOLD, Hold.Request(reason="a hand in the way")).success
    client.until("a hold", lambda: client.mode == ("hold", "a hand in the way"))
    assert not episode.over
    assert client.call(Release, names.RELEASE).success
    client.until("motion", lambda: client.mode[0] == "active" or episode.over)
    ended(client, episode)


def test_a_policy_that_nobody_stops_ends_after_its_time(client: GraphClient) -> None:
    ended(client, running(client))  # key-patches come from now on
    assert client.call(StartPolicy, names.START_POLICY, StartPolicy.Request(max_duration=0.5)).success
    client.until(
        "the end of the chunks",
        lambda: client.diagnostics["policy_node"].message == "waiting for an episode",
    )
    client.until("an arm at rest", lambda: client.mode[0] == "hold")
    assert client.call(StopPolicy, names.STOP_POLICY).success
    assert client.call(ComeToRest, names.COME_TO_REST).success


def test_a_lifecycle_manager_switches_control_off_and_on(client: GraphClient) -> None:
    episode = running(client)
    heard = len(client.events)
    for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE):
        request = ChangeState.Request(transition=Transition(id=transition))
        assert client.call(ChangeState, "/arm_node/change_state", request).success
    client.until("control again", lambda: any(e.reason == "started" for e in client.events[heard:]))
    assert episode.result().error_code == R.NODE_LOST  # what it knew of the episode is gone
    ended(client, running(client))


def test_an_emergency_stop_outlasts_a_release(client: GraphClient) -> None:
    episode = running(client)
    request = EmergencyStop.Request(reason="a child")
    assert client.call(EmergencyStop, names.EMERGENCY_STOP, request).success
    client.until("a stop", lambda: client.mode[0] == "hold")
    client.until("the line", lambda: "a child" in client.diagnostics["arm_node"].message)
    assert client.call(Release, names.RELEASE).success
    assert client.mode[0] == "hold"
    assert client.call(ResetEmergencyStop, names.RESET_EMERGENCY_STOP).success
    client.until("motion", lambda: client.mode[0] == "active" or episode.over)
    ended(client, episode)


@pytest.mark.parametrize("node", ["perception_node", "policy_node", "task_node", "sim_node"])
def test_without_any_node_the_arm_is_held_and_a_new_one_takes_its_place(
    graph: Launched, client: GraphClient, node: str
) -> None:
    episode = running(client)
    lines, heard, servers = len(graph.lines), len(client.events), client.task_servers()
    os.kill(graph.pid(node), signal.SIGKILL)
    client.until("a hold", lambda: any(e.mode.startswith("hold") for e in client.events[heard:]))
    if node != "task_node":
        result = episode.result()
        assert result.error_code in (R.NODE_LOST, R.ROBOT_REFUSED), result
    graph.wait_for(rf"{node} was killed by signal 9; starting it again", after=lines)
    graph.wait_for(rf"\[{node}\]: active", after=lines)
    if node == "task_node":  # a goal for the old one would never be answered
        client.until("the new task_node", lambda: client.task_servers() - servers)
    ended(client, running(client))


@pytest.mark.parametrize("node", ["perception_node", "policy_node", "task_node", "sim_node"])
def test_while_a_node_stands_still_the_arm_is_held_and_it_goes_on_without_a_new_start(
    graph: Launched, client: GraphClient, node: str
) -> None:
    episode = running(client)
    lines, heard, pid = len(graph.lines), len(client.events), graph.pid(node)
    os.kill(pid, signal.SIGSTOP)
    try:
        client.until("a hold", lambda: any(e.mode.startswith("hold") for e in client.events[heard:]))
        if node == "task_node":
            graph.wait_for("no more chunks: task_node is gone", after=lines)
        else:
            assert episode.result().error_code == R.NODE_LOST
            assert f"{node} is gone" in episode.result().message
        heard = len(client.events)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert episode.result().error_code == R.NODE_LOST
    client.call(Release, names.RELEASE)  # asked of the arm after all: it still does not move
    assert not any(e.mode == "active" for e in client.events[heard:])
    ended(client, running(client))
    assert graph.pid(node) == pid
    assert not any("killed" in line for line in graph.lines[lines:])


def test_what_cannot_be_used_is_said_and_left_out_by_whoever_hears_it(client: GraphClient) -> None:
    episode = running(client)
    nan = float("nan")
    bad = [
        (Image(height=2, width=2, step=4, encoding="yuv422", data=bytes(8)), topics.IMAGE, qos.SENSOR),
        (CameraInfo(k=[nan, 0.0, 1.0, 0.0, nan, 1.0, 0.0, 0.0, 1.0]), topics.CAMERA_INFO, qos.SENSOR),
        (KeyPatchArray(grid_size=7), topics.KEY_PATCHES, qos.ANSWER),
        (ActionChunk(dt=nan), topics.ACTION_CHUNK, qos.ANSWER),
        (RobotState(), topics.ROBOT_STATE, qos.SENSOR),
    ]
    with ExitStack() as stack:
        publishers = []
        for message, topic, quality in bad:
            publishers.append(client.node.create_publisher(type(message), topic, quality))
            stack.callback(client.node.destroy_publisher, publishers[-1])

        def said() -> bool:
            for publisher, (message, _, _) in zip(publishers, bad, strict=True):
                publisher.publish(message)
            who = {topic: client.who_says(f"a message on {topic} was left out") for _, topic, _ in bad}
            return (
                {"perception_node", "policy_node"} <= who[topics.IMAGE]
                and {"perception_node", "policy_node"} <= who[topics.CAMERA_INFO]
                and {"policy_node", "arm_node"} <= who[topics.KEY_PATCHES]
                and {"arm_node"} <= who[topics.ACTION_CHUNK]
                and {"policy_node"} <= who[topics.ROBOT_STATE]
            )

        client.until("the words of whoever listens", said)
    assert client.who_says("'yuv422'") and client.who_says("is no camera's")
    chunks = len(client.chunks)
    client.until("more chunks", lambda: len(client.chunks) > chunks + 3 or episode.over)
    ended(client, episode)
    ended(client, running(client))


def test_a_new_arm_node_waits_for_a_new_episode(graph: Launched, client: GraphClient) -> None:
    episode = running(client)
    lines, heard = len(graph.lines), len(client.events)
    os.kill(graph.pid("arm_node"), signal.SIGKILL)
    assert episode.result().error_code == R.NODE_LOST
    graph.wait_for(r"\[arm_node\]: active", after=lines)
    client.until("the new node's word", lambda: any(e.reason == "started" for e in client.events[heard:]))
    reasons = [event.reason for event in client.events]
    new = client.events[reasons.index("started", heard) :]
    assert not any(event.mode == "active" for event in new)
    ended(client, running(client))
