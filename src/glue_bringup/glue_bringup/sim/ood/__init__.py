"""Out-of-distribution conditions of the twin (paper, IV-C): clutter, foreground occlusion, party light."""

from __future__ import annotations

from glue_bringup.sim.ood.condition import (
    CONDITIONS,
    IN_DOMAIN,
    Condition,
    ConditionKind,
    get_condition,
)

__all__ = ["CONDITIONS", "IN_DOMAIN", "Condition", "ConditionKind", "get_condition"]
