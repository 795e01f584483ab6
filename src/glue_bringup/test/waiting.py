"""Waiting for something that another thread or process does."""

import time
from collections.abc import Callable
from typing import Any

WAIT_S = 240.0
"""On a loaded machine the imports alone take tens of seconds."""


def until(condition: Callable[[], Any], meanwhile: Callable[[], None] = lambda: None) -> None:
    """Wait until something is so."""
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s
        meanwhile()
        time.sleep(0.005)
