"""How a node knows within a fraction of a second that another one has died: by the liveliness that DDS keeps.

A killed process says no goodbye, and DDS by default takes ten seconds to notice. So every active node has a writer on
`/glue/alive/NODE` that has to give a sign of life within a short lease. DDS gives it from a thread of its own, in
C or C++, so that a busy interpreter raises no alarm; a process that is stopped gives none. Where only the worker's
thread hangs, DDS knows nothing of it; so the node watches its worker itself and says so in its messages. After a
false alarm (a machine so loaded that even the thread of DDS comes too late) Cyclone DDS counts a writer as alive
again only at its next message: one more reason for messages. They say when the node was activated: one that was
quickly started again is recognised by that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from std_msgs.msg import UInt64

from glue_bringup.loop.peers import Peers
from glue_bringup.nodes import names, qos
from glue_bringup.nodes.entities import EntityNode

MESSAGE_PERIOD_S = 0.1
SIGNS_PER_LEASE = 3.0
LEASES_PER_STEP = 4.0
"""A step of a worker's thread that takes longer counts as a hang: half a second by default, ten usual steps."""

HANGS = 0
"""Takes the place of the time of activation while the node hangs."""


class Beacon:
    """Says that a node is active, from now until `close`.

    Args:
        node: On whose behalf.
        lease_s: Without a sign of life for this long it is gone.
        step_s: Returns how long the step under way of its worker has taken.
    """

    def __init__(self, node: EntityNode, lease_s: float, step_s: Callable[[], float]) -> None:
        self._node, self._step_s, self._limit_s = node, step_s, LEASES_PER_STEP * lease_s
        silent = PublisherEventCallbacks(use_default_callbacks=False)
        topic = alive_topic(node.get_name())
        self._publisher = node.create_publisher(UInt64, topic, qos.alive(lease_s), event_callbacks=silent)
        # DDS gives signs of life at the pace of the shortest lease: the second one, which nobody listens to, makes
        # them come often enough that one that is late is no alarm.
        pace = qos.alive(lease_s / SIGNS_PER_LEASE)
        self._pacer = node.create_publisher(UInt64, names.ALIVE, pace, event_callbacks=silent)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._publish, name="beacon", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Say no more; whoever watches knows at once."""
        self._stopping.set()
        self._thread.join()
        self._node.destroy_publisher(self._publisher)
        self._node.destroy_publisher(self._pacer)

    def _publish(self) -> None:
        life, hung = time.time_ns(), False
        while not self._stopping.is_set():
            hangs = self._step_s() > self._limit_s
            self._publisher.publish(UInt64(data=HANGS if hangs else life))
            if hangs and not hung:
                self._node.get_logger().error(
                    f"a step takes longer than {self._limit_s:.2g} s: this node counts as gone until it ends"
                )
            hung = hangs
            self._stopping.wait(MESSAGE_PERIOD_S)


def watch(node: EntityNode, others: Iterable[str], lease_s: float, peers: Peers) -> None:
    """Keep `peers` told of which other nodes are active, for as long as the node is there."""
    for name in others:

        def changed(event: Any, name: str = name) -> None:
            peers.note(name, event.alive_count > 0)

        def sign(message: UInt64, name: str = name) -> None:
            peers.note_hang(name, message.data == HANGS)
            if message.data != HANGS:
                peers.note_life(name, message.data)

        node.receive(
            UInt64,
            alive_topic(name),
            sign,
            qos.alive(lease_s),
            event_callbacks=SubscriptionEventCallbacks(liveliness=changed, use_default_callbacks=False),
        )


def alive_topic(name: str) -> str:
    """Return the topic by which a node is known to be active."""
    return f"{names.ALIVE}/{name}"
