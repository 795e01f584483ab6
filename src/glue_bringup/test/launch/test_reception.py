"""Subscriptions that no executor serves."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

rclpy = pytest.importorskip("rclpy", reason="needs a sourced ROS 2 Jazzy")

from launched import DOMAIN_ID  # noqa: E402
from rclpy.node import Node  # noqa: E402
from std_msgs.msg import Int32  # noqa: E402
from waiting import until  # noqa: E402

from glue_bringup.nodes import qos  # noqa: E402
from glue_bringup.nodes.entities import EntityNode  # noqa: E402

pytestmark = [pytest.mark.ros, pytest.mark.timeout(120)]


class Listener(EntityNode):
    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        super().__init__("listener")

    def die(self, error: BaseException) -> None:
        self.errors.append(error)


@pytest.fixture
def nodes() -> Iterator[tuple[Listener, Node]]:
    rclpy.init(domain_id=DOMAIN_ID)
    listener, talker = Listener(), Node("talker")
    yield listener, talker
    listener.destroy_node()
    talker.destroy_node()
    rclpy.shutdown()


def talk(talker: Node, topic: str, listener: Listener) -> Callable[[int], None]:
    publisher = talker.create_publisher(Int32, topic, qos.ANSWER)
    until(publisher.get_subscription_count)
    return lambda number: publisher.publish(Int32(data=number))


def test_messages_come_in_order_in_one_thread_without_an_executor(nodes: tuple[Listener, Node]) -> None:
    listener, talker = nodes
    heard: list[int] = []
    threads: set[int] = set()

    def note(message: Int32) -> None:
        heard.append(message.data)
        threads.add(threading.get_ident())

    listener.receive(Int32, "/numbers", note, qos.ANSWER)
    listener.start_receiving()
    listener.receive(Int32, "/late", note, qos.ANSWER)  # joins while the thread waits
    for topic in ("/numbers", "/late"):
        say = talk(talker, topic, listener)
        heard.clear()
        for number in range(20):
            say(number)
            until(lambda number=number: number in heard)
        assert heard == list(range(20))
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_a_destroyed_subscription_is_not_called_any_more_and_others_are(nodes: tuple[Listener, Node]) -> None:
    listener, talker = nodes
    gone, kept = [], []
    first = listener.receive(Int32, "/gone", gone.append, qos.ANSWER)
    listener.receive(Int32, "/kept", kept.append, qos.ANSWER)
    listener.start_receiving()
    say_gone, say_kept = talk(talker, "/gone", listener), talk(talker, "/kept", listener)
    say_gone(1)
    until(lambda: gone)
    assert listener.destroy_subscription(first)
    gone.clear()
    say_gone(2)
    say_kept(3)
    until(lambda: kept)
    assert not gone
    assert [s.topic_name for s in listener.subscriptions] == ["/kept"]


def test_nothing_is_received_after_the_stop_and_again_after_the_next_start(
    nodes: tuple[Listener, Node],
) -> None:
    listener, talker = nodes
    heard: list[Int32] = []
    listener.receive(Int32, "/numbers", heard.append, qos.ANSWER)
    say = talk(talker, "/numbers", listener)
    for _ in range(2):
        listener.start_receiving()
        say(1)
        until(lambda: heard)
        listener.stop_receiving()
        listener.stop_receiving()
        heard.clear()
        say(2)
        time.sleep(0.1)
        assert not heard
        listener.start_receiving()
        until(lambda: heard)  # it waited
        listener.stop_receiving()
        heard.clear()


def test_a_callback_that_fails_is_reported(nodes: tuple[Listener, Node]) -> None:
    listener, talker = nodes

    def fail(message: Int32) -> None:
        raise ValueError(f"cannot use {message.data}")

    listener.receive(Int32, "/numbers", fail, qos.ANSWER)
    listener.start_receiving()
    talk(talker, "/numbers", listener)(7)
    until(lambda: listener.errors)
    assert "cannot use 7" in str(listener.errors[0])
