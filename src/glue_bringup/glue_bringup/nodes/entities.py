"""Topics and services of a managed node: gone when it is cleaned up, and loud when nobody can understand them."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile, qos_policy_name_from_kind

from glue_bringup.nodes.reception import Reception
from glue_perception.errors import GlueError

LOG_PERIOD_S = 5.0
"""Of a topic whose messages cannot be used: it may bring thirty of them a second."""


class EntityNode(LifecycleNode):
    """A managed node that keeps what is created between `note_entities` and `keep_entities`, to destroy it again."""

    def __init__(self, name: str) -> None:
        self._entities = ExitStack()
        self._noting = False
        self._misfits: dict[str, str] = {}
        super().__init__(name)
        self._reception = Reception(self.context, self.die)

    def die(self, error: BaseException) -> None:
        """Is told in the receiving thread what a callback of `receive` raised."""
        raise error

    def start_receiving(self) -> None:
        """Have the callbacks of `receive` called from now on, until `stop_receiving`."""
        self._reception.start()

    def stop_receiving(self) -> None:
        """Call them no more; may be called twice. Not from one of them."""
        self._reception.stop()

    def destroy_node(self) -> None:
        """Destroy the node and all that it made."""
        self._reception.stop()
        super().destroy_node()
        self._reception.destroy()

    def note_entities(self) -> None:
        """What is created from now on belongs to the configuration."""
        self._noting = True

    def keep_entities(self) -> None:
        """What is created from now on stays for as long as the node."""
        self._noting = False

    def note(self, destroy: Callable[[], Any]) -> None:
        """Have something destroyed with the configuration, if it is part of it."""
        if self._noting:
            self._entities.callback(destroy)

    def destroy_entities(self) -> None:
        """Destroy what belongs to the configuration, in reverse order."""
        self.keep_entities()
        self._entities.close()
        self._misfits.clear()

    def create_subscription(
        self, kind: Any, topic: str, callback: Callable[[Any], Any], *arguments: Any, **more: Any
    ) -> Any:
        """Create a subscription; a publisher of another quality of service is reported.

        A message for which the callback raises a `GlueError` is said in the log and left out: whoever sent it, it
        must not end this node.
        """
        events = SubscriptionEventCallbacks(incompatible_qos=self._misfit(topic), use_default_callbacks=False)
        more.setdefault("event_callbacks", events)
        made = super().create_subscription(kind, topic, self._bearing(topic, callback), *arguments, **more)
        return self._noted(made, self.destroy_subscription)

    def receive(
        self, kind: Any, topic: str, callback: Callable[[Any], None], quality: QoSProfile, **more: Any
    ) -> Any:
        """Create a subscription for a topic that is not rare: as `create_subscription`, at a tenth of its cost.

        The callbacks of all of these run in one thread of the node, one at a time, whatever executors do; they must
        return at once.
        """
        made = self.create_subscription(
            kind, topic, callback, quality, callback_group=self._reception.group, **more
        )
        self._reception.add(made)
        return made

    def destroy_subscription(self, subscription: Any) -> bool:
        """Destroy a subscription, however it was made."""
        self._reception.remove(subscription)
        return bool(super().destroy_subscription(subscription))

    def create_publisher(self, kind: Any, topic: str, *arguments: Any, **more: Any) -> Any:
        """Create a publisher that speaks from now on; a subscriber of another quality of service is reported."""
        more.setdefault("event_callbacks", self._listening(topic))
        return self._noted(super().create_publisher(kind, topic, *arguments, **more), self.destroy_publisher)

    def create_lifecycle_publisher(self, kind: Any, topic: str, *arguments: Any, **more: Any) -> Any:
        """Create a publisher that speaks while the node is active; else as `create_publisher`."""
        more.setdefault("event_callbacks", self._listening(topic))
        made = super().create_lifecycle_publisher(kind, topic, *arguments, **more)
        return self._noted(made, self.destroy_lifecycle_publisher)

    def create_client(self, *arguments: Any, **more: Any) -> Any:
        """Create a client of a service."""
        return self._noted(super().create_client(*arguments, **more), self.destroy_client)

    def create_service(self, *arguments: Any, **more: Any) -> Any:
        """Create a service."""
        return self._noted(super().create_service(*arguments, **more), self.destroy_service)

    def create_timer(self, *arguments: Any, **more: Any) -> Any:
        """Create a timer."""
        return self._noted(super().create_timer(*arguments, **more), self.destroy_timer)

    @property
    def misfits(self) -> tuple[str, ...]:
        """Topics on which somebody is not heard, or does not hear, in words."""
        return (*self._misfits.values(), *self._wrong_types())

    def _noted(self, made: Any, destroy: Callable[[Any], Any]) -> Any:
        self.note(lambda: destroy(made))
        return made

    def _listening(self, topic: str) -> PublisherEventCallbacks:
        return PublisherEventCallbacks(incompatible_qos=self._misfit(topic), use_default_callbacks=False)

    def _bearing(self, topic: str, callback: Callable[[Any], Any]) -> Callable[[Any], None]:
        silent_until_s = 0.0

        def take(message: Any) -> None:
            nonlocal silent_until_s
            try:
                callback(message)
            except GlueError as error:
                now_s = time.monotonic()
                if now_s >= silent_until_s:
                    silent_until_s = now_s + LOG_PERIOD_S
                    self.get_logger().error(f"a message on {topic} was left out: {error}")

        return take

    def _misfit(self, topic: str) -> Callable[[Any], None]:
        def note(event: Any) -> None:
            policy = qos_policy_name_from_kind(event.last_policy_kind)
            self._misfits[topic] = (
                f"{topic}: somebody's quality of service does not fit ({policy}), so that nothing comes through; "
                f"see `ros2 topic info -v {topic}`"
            )
            self.get_logger().error(self._misfits[topic])

        return note

    def _wrong_types(self) -> list[str]:
        """Return in words which of the node's topics others use with another type."""
        mine = {s.topic_name: s.msg_type for s in self.subscriptions}
        found = []
        for topic, kinds in self.get_topic_names_and_types():
            if topic in mine and len(kinds) > 1:
                expected = f"{mine[topic].__module__.split('.')[0]}/msg/{mine[topic].__name__}"
                others = ", ".join(kind for kind in kinds if kind != expected)
                found.append(f"{topic}: somebody uses it as {others}, but it is {expected}")
        return found
