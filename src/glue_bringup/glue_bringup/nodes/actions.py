"""An action client whose answers may come at once, in another thread."""

from __future__ import annotations

import threading
from typing import Any

from rclpy.action import ActionClient


class PromptActionClient(ActionClient):
    """As rclpy's, for nodes whose callbacks are served by another thread than the one that asks.

    rclpy sends a request first and notes that it waits for the answer afterwards; an answer that comes in between is
    ignored ("Ignoring unexpected goal response"), and its future is never done (ros2/rclpy, issue 1123). Here nothing
    is taken in while a request is under way to being noted.
    """

    def __init__(self, *arguments: Any, **more: Any) -> None:
        self._noting = threading.RLock()
        super().__init__(*arguments, **more)

    def send_goal_async(self, *arguments: Any, **more: Any) -> Any:
        """Send a goal; the future is done when it was accepted or refused."""
        with self._noting:
            return super().send_goal_async(*arguments, **more)

    def _cancel_goal_async(self, *arguments: Any) -> Any:
        with self._noting:
            return super()._cancel_goal_async(*arguments)

    def _get_result_async(self, *arguments: Any) -> Any:
        with self._noting:
            return super()._get_result_async(*arguments)

    async def execute(self, taken_data: Any) -> None:
        """Take in what has come; called by the executor."""
        with self._noting:
            await super().execute(taken_data)
