"""What a process asks of the operating system for itself."""

import os
import resource
import subprocess
import sys

import pytest

from glue_perception.scheduling import take_short_turns

IMAGES = """
import resource, sys
import numpy as np
from glue_perception.allocation import keep_freed_memory
if sys.argv[1] == "keep" and not keep_freed_memory():
    print(-1)
    raise SystemExit
image = np.ones((480, 640, 3), np.uint8)
[image.copy() for _ in range(3)]
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(200):
    copies = [image.copy(), image.copy()]
    del copies
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how: str) -> int:
    found = subprocess.run([sys.executable, "-c", IMAGES, how], capture_output=True, text=True, check=True)
    return int(found.stdout)


def test_images_that_are_dropped_leave_their_memory_to_the_next() -> None:
    faults = page_faults("keep")
    if faults < 0:
        pytest.skip("not glibc")
    pages_per_image = 480 * 640 * 3 // resource.getpagesize()
    assert faults < 5 * pages_per_image  # of 400 copies


def test_short_turns_can_be_asked_for_and_change_nothing_else() -> None:
    policy, niceness = os.sched_getscheduler(0), os.nice(0)
    assert take_short_turns() in (True, False)
    assert (os.sched_getscheduler(0), os.nice(0)) == (policy, niceness)


def test_standing_back_is_never_undone() -> None:
    code = (
        "import os; from glue_perception.scheduling import stand_back; "
        "stand_back(4); a = os.nice(0); stand_back(2); print(a, os.nice(0))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = map(int, found.stdout.split())
    assert first == second == max(4, os.nice(0))
