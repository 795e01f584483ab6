"""Calls of other nodes' services from a thread that may wait."""

from __future__ import annotations

import threading
import time
from typing import Any

from glue_perception.errors import NotReadyError

POLL_S = 0.02


def call(client: Any, request: Any, timeout_s: float, ending: threading.Event) -> Any:
    """Return a service's response. Not from a callback in the client's own callback group.

    Raises:
        NotReadyError: nobody offers it or it did not answer within `timeout_s`, or the node is ending.
    """
    deadline_s = time.monotonic() + timeout_s
    _until(client.service_is_ready, deadline_s, ending, f"nobody offers {client.srv_name}")
    future = client.call_async(request)
    _until(future.done, deadline_s, ending, f"{client.srv_name} did not answer within {timeout_s:g} s")
    return future.result()


def _until(condition: Any, deadline_s: float, ending: threading.Event, otherwise: str) -> None:
    while not condition():
        if ending.wait(POLL_S):
            raise NotReadyError("the node is ending")
        if time.monotonic() > deadline_s:
            raise NotReadyError(f"{otherwise}; is its node running?")
