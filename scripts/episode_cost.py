"""Where the processor time of an evaluation episode goes, part by part.

The parts' functions are wrapped for the run; what a part calls of another part is counted there alone.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import cv2

from glue_bringup.loop.action_source import PolicySource
from glue_bringup.loop.control_step import ControlStep
from glue_bringup.loop.perceiver import Perceiver
from glue_bringup.loop.pilot import Pilot
from glue_bringup.loop.sync_session import SyncSession
from glue_bringup.sim.ood import get_condition
from glue_bringup.sim.sync_twin import SyncTwin
from glue_bringup.task_config import load_task

PARTS: dict[str, tuple[type, str]] = {
    "physics": (SyncTwin, "advance"),
    "render": (SyncTwin, "render"),
    "find the objects (once)": (Perceiver, "start"),
    "perception": (Perceiver, "observe"),
    "policy": (PolicySource, "decide"),
    "policy, begin (once)": (PolicySource, "reset"),
    "control": (ControlStep, "tick"),
    "robot state": (SyncTwin, "_state"),
}


class PartTimes:
    """Processor time and calls of each part."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self._inner: list[float] = []

    def wrap(self, part: str, cls: type, method: str) -> None:
        """Measure a method of a class from now on."""
        plain: Callable[..., Any] = getattr(cls, method)

        def measured(*args: Any, **kwargs: Any) -> Any:
            start = time.process_time()
            self._inner.append(0.0)
            try:
                return plain(*args, **kwargs)
            finally:
                spent = time.process_time() - start
                self.seconds[part] += spent - self._inner.pop()
                self.calls[part] += 1
                if self._inner:
                    self._inner[-1] += spent

        setattr(cls, method, measured)


def main() -> None:
    """Run the episodes and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="push_button")
    parser.add_argument("--policy", help="default: the task's own")
    parser.add_argument("--condition", default="in_domain")
    parser.add_argument("--episodes", type=int, default=3)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    times = PartTimes()
    for part, (cls, method) in PARTS.items():
        times.wrap(part, cls, method)
    task = load_task(args.task)
    with SyncSession(task, Pilot(task, args.policy), get_condition(args.condition)) as session:
        session.run(99_999, None)  # the first episode also builds what later ones reuse
        times.seconds.clear()
        times.calls.clear()
        start = time.process_time()
        simulated_s = sum(session.run(100_000 + k, None).duration_s for k in range(args.episodes))
        total_s = time.process_time() - start
    print("| part | calls per simulated second | ms each | ms per simulated second |\n|---|---|---|---|")
    for part, seconds in times.seconds.most_common():
        calls, each_ms = times.calls[part], 1e3 * seconds / times.calls[part]
        share_ms = 1e3 * seconds / simulated_s
        print(f"| {part} | {calls / simulated_s:.1f} | {each_ms:.2f} | {share_ms:.0f} |")
    rest = total_s - sum(times.seconds.values())
    print(f"| rest | | | {1e3 * rest / simulated_s:.0f} |")
    print(f"| **all** | | | **{1e3 * total_s / simulated_s:.0f}** |")
    print(f"\n{simulated_s / total_s:.2f} simulated seconds per second of processor time")


if __name__ == "__main__":
    main()
