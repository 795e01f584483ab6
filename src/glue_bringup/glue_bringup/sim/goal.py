"""Watches whether a task's goal has been reached, and for how long."""

from __future__ import annotations

from typing import Any

from glue_bringup.sim.tasks.base import Task

STEP_S = 0.001
GLANCE_STEPS = 10
"""How often a goal that must last is looked at: rest does not come and go within ten milliseconds."""


class GoalWatch:
    """Asks the task while the physics runs; both twins share it, so that they judge alike.

    A press counts in the very millisecond it happens. A block that is just passing through its place is not yet
    stacked: a goal with a `hold_s` must be seen every ten milliseconds for that long without a break. Once reached
    it stays reached until `reset`.

    Args:
        task: Knows the goal.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._every = GLANCE_STEPS if task.hold_s > 0.0 else 1
        self._needed = max(1, round(task.hold_s / (self._every * STEP_S)))
        self.reset()

    def reset(self) -> None:
        """Begin an episode."""
        self.reached = False
        self._steps = self._seen = 0

    def step(self, model: Any, data: Any) -> None:
        """Judge the state after one step of physics."""
        if self.reached:
            return
        self._steps += 1
        if self._steps % self._every:
            return
        self._seen = self._seen + 1 if self._task.is_success(model, data) else 0
        self.reached = self._seen >= self._needed
