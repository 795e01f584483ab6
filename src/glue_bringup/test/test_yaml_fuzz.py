"""Thousands of broken task files: each loads or is refused with ConfigError, and nothing else comes out."""

import random
from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from glue_bringup.task_config import TASKS_DIRECTORY, TaskConfig, load_task
from glue_perception.errors import ConfigError

VALUES = (
    None, True, False, 0, -1, 1, 1e9, -1e9, 1e-9, float("nan"), float("inf"), 10**30, "", "no", "push_button", "1e3",
    "../../etc", "\x00", "é" * 300, [], [1, 2, 3], [None], ["a", 1], {}, {"a": 1}, {1: 2}, [[]], [{}], {"min_m": []},
)  # fmt: skip
CASES = 1000


def places(value: object, path: tuple = ()) -> list[tuple]:
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return found + [p for key, inner in items for p in places(inner, (*path, key))]


def mutate(data: dict, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        options = places(data)
        if not options:
            return
        *way, last = rng.choice(options)
        inner = data
        for key in way:
            inner = inner[key]
        kind = rng.random()
        if kind < 0.6:
            inner[last] = deepcopy(rng.choice(VALUES))
        elif kind < 0.8:
            del inner[last]
        elif isinstance(inner, dict):
            inner[rng.choice(("stiffnes", "", "rate_hz", "x" * 50))] = deepcopy(rng.choice(VALUES))


def spoil(text: str, rng: random.Random) -> str:
    symbols = "{}[]:,-\"'#&*!|>%@`\t\n ?\\é\x07" + text[:20]
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(text))
        cut = rng.choice((0, 1, 1, 20))
        text = text[:at] + rng.choice(symbols) * rng.choice((1, 1, 3)) + text[at + cut :]
    return text


def outcome(path: Path, text: str) -> bool:
    path.write_text(text, encoding="utf-8", newline="")
    try:
        return isinstance(load_task(str(path)), TaskConfig)
    except ConfigError as error:
        assert str(error)
        return False


@pytest.mark.parametrize("task", ["push_button", "stack_block"])
def test_any_value_anywhere_is_taken_or_refused_by_name(tmp_path, task):
    rng = random.Random(f"{task} values")
    original = yaml.safe_load((TASKS_DIRECTORY / f"{task}.yaml").read_text(encoding="utf-8"))
    original.setdefault("safety", {}).update(
        {
            "watchdogs": {"max_frame_age_s": 0.5},
            "joints": {"velocity_share": 0.8},
            "executor": {"lead_s": 0.1},
        }
    )
    loaded = 0
    for _ in range(CASES):
        data = deepcopy(original)
        mutate(data, rng)
        loaded += outcome(tmp_path / "task.yaml", yaml.safe_dump(data, allow_unicode=True))
    assert 0 < loaded < CASES


def test_any_text_is_taken_or_refused(tmp_path):
    rng = random.Random("text")
    original = (TASKS_DIRECTORY / "push_button.yaml").read_text(encoding="utf-8")
    loaded = sum(outcome(tmp_path / "task.yaml", spoil(original, rng)) for _ in range(CASES))
    assert 0 < loaded < CASES
