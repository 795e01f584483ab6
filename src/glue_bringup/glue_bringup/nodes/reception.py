"""Messages received in a thread of their own, with a wait set that is built once.

rclpy's executor builds a wait set of all entities of its node anew for every message, twice where several threads
serve it: some ten times what it takes to receive a small message. For the services, timers and events of a node that
does not matter; for topics of 10 to 100 Hz it was the largest cost of the graph.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.context import Context
from rclpy.guard_condition import GuardCondition
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.subscription import Subscription

JOIN_S = 2.0
WAIT_NS = 500_000_000
"""A bound on what a wake-up that got lost could cost."""


class ReceivedApart(MutuallyExclusiveCallbackGroup):
    """The group of subscriptions that no executor serves; their events are an executor's, one at a time."""

    def can_execute(self, entity: Any) -> bool:
        """Return False for a subscription."""
        return not isinstance(entity, Subscription) and bool(super().can_execute(entity))


class Reception:
    """Calls the callbacks of subscriptions, one at a time, in its own thread, from `start` until `stop`.

    Subscriptions are created in `group` and handed to `add`; `remove` before one is destroyed. Any thread, a
    callback's excepted, may do so at any time.

    Args:
        context: Of the node.
        failed: Told of what a callback raised, which ends the thread.
    """

    def __init__(self, context: Context, failed: Callable[[BaseException], None]) -> None:
        self.group = ReceivedApart()
        self._context, self._failed = context, failed
        self._lock = threading.Lock()
        self._subscriptions: list[Subscription] = []
        self._version = 0
        self._served = threading.Condition(self._lock)
        self._serving = -1
        self._wake = GuardCondition(None, None, context)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, subscription: Subscription) -> None:
        """Receive its messages from now on."""
        with self._lock:
            self._subscriptions.append(subscription)
            self._version += 1
            self._wake.trigger()

    def remove(self, subscription: Subscription) -> None:
        """Receive its messages no more; its callback is not running any longer when this returns."""
        with self._lock:
            if subscription not in self._subscriptions:
                return
            self._subscriptions.remove(subscription)
            self._version += 1
            self._wake.trigger()
            if self._thread is not None and self._thread is not threading.current_thread():
                self._served.wait_for(lambda: self._serving in (-1, self._version), JOIN_S)

    def start(self) -> None:
        """Begin, unless it has begun."""
        if self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._run, name="reception", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread. Safe to call twice."""
        thread, self._thread = self._thread, None
        self._stopping.set()
        if thread is not None and thread is not threading.current_thread():
            self._wake.trigger()
            thread.join(JOIN_S)

    def destroy(self) -> None:
        """Stop, for good."""
        self.stop()
        self._wake.destroy()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set() and self._context.ok():
                with self._lock:
                    subscriptions, self._serving = tuple(self._subscriptions), self._version
                    self._served.notify_all()
                self._serve(subscriptions)
        except BaseException as error:
            if self._context.ok():  # else the wait was cut off by the end of ROS
                self._failed(error)
        finally:
            with self._lock:
                self._serving = -1
                self._served.notify_all()

    def _serve(self, subscriptions: tuple[Subscription, ...]) -> None:
        """Receive until the set of subscriptions changes."""
        with ExitStack() as stack:  # in use: not destroyed while they are waited for
            for handle in (*(s.handle for s in subscriptions), self._wake.handle, self._context.handle):
                stack.enter_context(handle)
            by_pointer = {subscription.handle.pointer: subscription for subscription in subscriptions}
            wait_set = rclpy_implementation.WaitSet(len(subscriptions), 1, 0, 0, 0, 0, self._context.handle)
            while self._serving == self._version and not self._stopping.is_set():
                wait_set.clear_entities()
                for subscription in subscriptions:
                    wait_set.add_subscription(subscription.handle)
                wait_set.add_guard_condition(self._wake.handle)
                wait_set.wait(WAIT_NS)
                for pointer in wait_set.get_ready_entities("subscription"):
                    if self._serving != self._version:
                        return
                    _take(by_pointer[pointer])


def _take(subscription: Subscription) -> None:
    taken = subscription.handle.take_message(subscription.msg_type, subscription.raw)
    if taken is not None:
        subscription.callback(taken[0])
