"""Watches whether a task's goal has been reached, and for how long."""

from __future__ import annotations

from typing import Any

from glue_bringup.sim.tasks.base import Task

STEP_S = 0.001


class GoalWatch:
    """Asks the task after every millisecond of physics; both twins share it, so that they judge alike.

    A block that is just passing through its place is not yet stacked: the goal must hold for the task's `hold_s`
    without a break. Once reached it stays reached until `reset`.

    Args:
        task: Knows the goal.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._steps_needed = max(1, round(task.hold_s / STEP_S))
        self.reset()

    def reset(self) -> None:
        """Begin an episode."""
        self.reached = False
        self._steps = 0

    def step(self, model: Any, data: Any) -> None:
        """Judge the state after one step of physics."""
        if self.reached:
            return
        self._steps = self._steps + 1 if self._task.is_success(model, data) else 0
        self.reached = self._steps >= self._steps_needed
