"""Soak: closed loop of random tasks in the synchronous twin, with random faults, for so much simulated time.

    python scripts/soak.py --minutes 30

Supervisor, joint guard, executor and limits are those of every host; scripted experts stand where a policy stands.
Exit code 1 if a limit was exceeded, a hold was missed, or the arm stayed stuck. Needs no graphics.
"""

import argparse
import sys
import time

from glue_bringup.faults.soak import TASKS, SoakReport, soak


def main() -> int:
    """Run the soak and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="simulated time; default: 30")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=TASKS)
    args = parser.parse_args()
    start_s = time.perf_counter()

    def progress(report: SoakReport) -> None:
        if report.episodes.total() % 10 == 0:
            done = f"{report.model_s / 60:.1f} min, {report.episodes.total()} episodes"
            print(f"  {done}, {report.faults.total()} faults, {len(report.broken)} broken", flush=True)

    report = soak(args.minutes, args.seed, args.tasks, progress)
    wall_s = time.perf_counter() - start_s
    print(f"{report.model_s / 60:.1f} min of closed loop in {wall_s / 60:.1f} min, seed {args.seed}")
    for task, count in sorted(report.episodes.items()):
        print(f"  {task}: {report.successes[task]} of {count} succeeded in spite of the faults")
    print(f"  {report.faults.total()} faults of {len(report.faults)} kinds")
    print("  held ticks by reason: " + ", ".join(f"{r} {n}" for r, n in report.holds.most_common()))
    print(f"  memory at each quarter: {', '.join(f'{mb:g} MB' for mb in report.memory_mb)}")
    print(f"  open files {report.files[0]} before, {report.files[1]} after; {report.threads} threads")
    for line in report.broken:
        print(f"  BROKEN {line}")
    print(
        f"{len(report.broken)} broken"
        if report.broken
        else "no limit exceeded, no hold missed, nothing stuck"
    )
    return bool(report.broken)


if __name__ == "__main__":
    sys.exit(main())
