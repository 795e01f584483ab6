"""Graphs under test in a domain of their own: a graph that somebody runs on this computer is not their business."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

os.environ["ROS_DOMAIN_ID"] = str(os.getpid() % 100)

# A job that a script started in the background ignores Ctrl-C; so would the launches that it starts, and ends by it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def launch(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Start one of the users' launch files with arguments; it is ended with the test."""
    from launched import Launched  # here: colcon's own interpreter reads this file, too

    def start(file: str, *arguments: str) -> Launched:
        launched = Launched(file, *arguments)
        request.addfinalizer(launched.end)
        return launched

    return start
