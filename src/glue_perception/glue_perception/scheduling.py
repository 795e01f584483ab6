"""Who waits for whom on a busy computer, as far as a user without privileges may say."""

from __future__ import annotations

import ctypes
import os
import platform
import sys

SHORT_TURN_NS = 300_000
"""Linux' own turns are 1.4 ms long on two processors and 2.8 ms on eight; a tick of control is due every 10 ms."""

_SET, _GET = {"x86_64": (314, 315), "aarch64": (274, 275)}.get(platform.machine(), (-1, -1))


class _SchedulingAttributes(ctypes.Structure):
    """`struct sched_attr` of Linux, first version."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime", ctypes.c_uint64),
        ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
    )


def take_short_turns(turn_ns: int = SHORT_TURN_NS) -> bool:
    """Have this thread, and those that it starts, run in short turns on the processor, which then come sooner.

    From Linux 6.12 on the scheduler lets a thread of the ordinary class choose the length of its turns: its share of
    the processor stays the same, and it waits for less long after it wakes. Needs no privileges. Returns whether it
    was possible; a thread of a real-time class is left as it is.
    """
    if not sys.platform.startswith("linux") or _SET < 0:
        return False
    libc, attributes = ctypes.CDLL(None), _SchedulingAttributes()
    size = ctypes.sizeof(attributes)
    if libc.syscall(_GET, 0, ctypes.byref(attributes), size, 0) or attributes.policy != os.SCHED_OTHER:
        return False
    attributes.size, attributes.runtime = size, turn_ns
    return bool(libc.syscall(_SET, 0, ctypes.byref(attributes), 0) == 0)


def stand_back(niceness: int) -> None:
    """Let other processes have the processor first: be at least this nice, of 0 to 19."""
    if hasattr(os, "nice"):
        os.nice(max(0, niceness - os.nice(0)))
