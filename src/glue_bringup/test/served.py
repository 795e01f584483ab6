"""Nodes in the test's own process. Needs rclpy."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

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
