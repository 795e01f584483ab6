"""One line of the doctor's report."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """How a check went."""

    OK = "OK"
    WARN = "warn"
    FAIL = "fail"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True)
class Finding:
    """One line.

    Attributes:
        name: What was looked at.
        level: How it went.
        found: What was seen, in a few words.
        remedy: What to do; empty where nothing is to be done.
    """

    name: str
    level: Level
    found: str
    remedy: str = ""
