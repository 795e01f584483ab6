"""Flies a scripted expert in the synchronous twin without camera, perception and supervisor."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from glue_bringup.sim.experts import get_expert
from glue_bringup.sim.sync_twin import SyncTwin

STEP_NS = 10_000_000


def fly(
    twin: SyncTwin,
    seed: int,
    limit_s: float,
    noise_m: float = 0.0,
    shove: Callable[[int], np.ndarray] | None = None,
    on_action: Callable[[int, object], float | None] | None = None,
) -> float:
    """Run the expert with straight lines between its actions; return when it succeeded, or infinity.

    Args:
        twin: Reset to `seed`.
        seed: Of layout, start and disturbance.
        limit_s: Gives up after this long.
        noise_m: Disturbs the targets; stationary deviation per axis is 1.7 times this, memory half a second.
        shove: Added to the target of action k.
        on_action: Called with k and the expert; a width that it returns replaces the expert's.
    """
    twin.reset(seed)
    expert = get_expert(twin.task.name)
    expert.reset(seed)
    twin.arm.start()
    rng = np.random.default_rng(seed)
    last, drift = twin.arm.state().T_base_ee.copy(), np.zeros(3)
    for k in range(round(limit_s * 10)):
        action = expert.action(twin.arm.state(), twin.truth)
        width_m = on_action(k, expert) if on_action else None
        twin.gripper.command(action.gripper_width_m if width_m is None else width_m)
        drift = 0.8 * drift + rng.normal(0.0, noise_m, 3) if noise_m else drift
        goal = action.T_base_ee.copy()
        goal[:3, 3] += drift + (shove(k) if shove else 0.0)
        for share in np.arange(1, 11) / 10:
            target = goal.copy()
            target[:3, 3] = (1 - share) * last[:3, 3] + share * goal[:3, 3]
            twin.arm.set_target(target)
            twin.advance(STEP_NS)
        last = goal
        if twin.is_success():
            return (k + 1) / 10
    return float("inf")
