"""Send random, adversarial and malformed chunks through executor, supervisor and limiter, and audit every motion.

    python scripts/fuzz_executor.py --chunks 100000

Exit code 1 if one limit of a robot's own table, or of the configuration, was exceeded.
"""

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from glue_bringup.faults.chunk_fuzzer import FuzzReport, fuzz


def main() -> int:
    """Run the fuzz and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=min(4, os.cpu_count() or 1))
    args = parser.parse_args()
    start_s = time.perf_counter()
    share = -(-args.chunks // args.workers)
    total = FuzzReport()
    with ProcessPoolExecutor(args.workers) as pool:
        for part in pool.map(fuzz, [share] * args.workers, range(args.seed, args.seed + args.workers)):
            total.add(part)
    print(f"{total.chunks} chunks in {time.perf_counter() - start_s:.0f} s by {args.workers} processes")
    print("  " + ", ".join(f"{n} {name}" for name, n in total.outcomes.most_common()))
    print("  ticks by reason: " + ", ".join(f"{name} {n}" for name, n in total.reasons.most_common()))
    print(
        "  nearest to each bound: "
        + ", ".join(f"{name} {share:.3f}" for name, share in total.largest.items())
    )
    for line in total.broken:
        print(f"  BROKEN {line}")
    print("no limit exceeded" if not total.broken else f"{len(total.broken)} limits exceeded")
    return bool(total.broken)


if __name__ == "__main__":
    sys.exit(main())
