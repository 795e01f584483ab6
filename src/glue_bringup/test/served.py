"""Nodes in the test's own process. Needs rclpy."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from launched import START_S
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor


@contextmanager
def served(node: Any) -> Iterator[Any]:
    """A node, not configured yet, whose callbacks are served."""
    with ExitStack() as stack:
        stack.callback(node.destroy_node)
        stack.callback(getattr(node, "close", lambda: None))
        executor = MultiThreadedExecutor(2)
        executor.add_node(node)

        def spin() -> None:
            try:
                executor.spin()
            except ExternalShutdownException:
                return

        thread = threading.Thread(target=spin)
        thread.start()
        stack.callback(thread.join)
        stack.callback(executor.shutdown)
        yield node


def until(condition: Callable[[], Any], meanwhile: Callable[[], None] = lambda: None) -> None:
    """Wait until something is so."""
    deadline_s = time.monotonic() + START_S
    while not condition():
        assert time.monotonic() < deadline_s
        meanwhile()
        time.sleep(0.01)
