"""How this process gets and returns memory: what matters where images are made and dropped thirty times a second."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Of glibc's `mallopt`, see malloc.h."""

LARGEST_BYTES = 32 << 20
"""Blocks up to this come from the heap: the most that glibc allows, 35 images of 640 x 480."""

KEPT_BYTES = 128 << 20
"""At most this is kept free at the end of a heap."""


def keep_freed_memory() -> bool:
    """Have freed memory used again instead of being returned to the system; return whether that was possible.

    By default glibc gives large blocks back on `free`, so that the kernel has to hand out and clear the pages of
    every image anew: in a virtual machine that took 1 ms per copy of a 640 x 480 image, where the copy itself takes
    0.1 ms. For the whole process, to be called once when it starts. Elsewhere than on glibc it does nothing.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    # Both: setting one alone leaves the other to grow and shrink by itself.
    return bool(mallopt(_M_MMAP_THRESHOLD, LARGEST_BYTES)) and bool(mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES))
