"""What the paper reports for its real robot, to stand beside ours (arXiv 2509.23220, tables IV to VII)."""

from __future__ import annotations

PAPER = "arXiv 2509.23220, real robot: 20 trials per task in domain, 10 per out-of-distribution condition"

_IN_DOMAIN = {
    "dp": {"push_button": 20, "stack_block": 10, "place_fruit": 55, "fold_towel": 60},
    "act": {"push_button": 55, "stack_block": 50, "place_fruit": 30, "fold_towel": 60},
    "glue_s": {"push_button": 70, "stack_block": 55, "place_fruit": 80, "fold_towel": 75},
    "glue": {"push_button": 80, "stack_block": 75, "place_fruit": 95, "fold_towel": 90},
}
_CLUTTER = {
    "dp": {"push_button": 0, "stack_block": 0},
    "act": {"push_button": 0, "stack_block": 0},
    "glue_s": {"push_button": 50, "stack_block": 10},
    "glue": {"push_button": 80, "stack_block": 40},
}
_OCCLUSION = {
    "dp": {"push_button": 0, "place_fruit": 0},
    "act": {"push_button": 0, "place_fruit": 0},
    "glue_s": {"push_button": 40, "place_fruit": 50},
    "glue": {"push_button": 70, "place_fruit": 70},
}
_LIGHT = {
    "dp": {"place_fruit": 10, "fold_towel": 40},
    "act": {"place_fruit": 10, "fold_towel": 40},
    "glue_s": {"place_fruit": 40, "fold_towel": 60},
    "glue": {"place_fruit": 70, "fold_towel": 80},
}
PERCENT = {"in_domain": _IN_DOMAIN, "clutter": _CLUTTER, "occlusion": _OCCLUSION, "light": _LIGHT}
"""Kind of condition -> kind of policy -> task -> success in percent."""


def paper_percent(policy: str, task: str, condition: str) -> int | None:
    """Return the paper's success rate of a kind of policy, or None where it reports none.

    Args:
        policy: Kind of policy, e.g. glue_s.
        task: Its name.
        condition: With or without a grade; the paper grades nothing.
    """
    return PERCENT.get(condition.partition(":")[0], {}).get(policy, {}).get(task)


def paper_trials(condition: str) -> int:
    """Return how many trials the paper ran per cell."""
    return 20 if condition.partition(":")[0] == "in_domain" else 10
