"""Inject every fault of the fault suite and print what was seen, as the table of docs/faults.md.

    python scripts/fault_table.py            print it
    python scripts/fault_table.py --write    also write it into docs/faults.md

Takes about two minutes, and a computer that does nothing else (`--busy` judges one that does). Exit code 1 if a hold
began late, a limit was exceeded, or something recorded was lost.
"""

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from glue_bringup.arm.limits import FR3, PANDA
from glue_bringup.faults.loop_faults import LOOP_FAULTS, run_in_loop
from glue_bringup.faults.network_faults import NETWORK_FAULTS
from glue_bringup.faults.protocol_faults import ProtocolRun
from glue_bringup.faults.report import FaultRow, markdown, run_on_bench
from glue_bringup.faults.table import FAULTS

DOCUMENT = Path(__file__).parents[1] / "docs" / "faults.md"
BEGIN, END = "<!-- generated: python scripts/fault_table.py --write -->", "<!-- end -->"


def rows(quiet: bool) -> Iterator[FaultRow]:
    """Inject all faults, one after the other: without a robot, then around its driver and the protocol twin."""
    for index, fault in enumerate(FAULTS):
        yield run_on_bench(fault, FR3 if index % 2 else PANDA)
    with tempfile.TemporaryDirectory() as directory:
        bags = (Path(directory) / str(index) for index in itertools.count())
        for loop_fault in LOOP_FAULTS:
            yield run_in_loop(loop_fault, next(bags))
        with ProtocolRun(quiet) as run:
            yield from map(run.input_fault, FAULTS)
            for loop_fault in LOOP_FAULTS:
                yield run.loop_fault(loop_fault, next(bags))
            yield from map(run.network_fault, NETWORK_FAULTS)


def main() -> int:
    """Run the suite and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"write the table into docs/{DOCUMENT.name}")
    parser.add_argument(
        "--busy", action="store_true", help="allow for a busy computer: count ticks, ignore its own lateness"
    )
    args = parser.parse_args()
    begin_s, found = time.perf_counter(), []
    for row in rows(not args.busy):
        found.append(row)
        print(f"{time.perf_counter() - begin_s:5.0f} s  {row.bench}: {row.name}", file=sys.stderr)
    print(markdown(found))
    if args.write:
        text = DOCUMENT.read_text(encoding="utf-8")
        before, after = text.split(BEGIN)[0], text.split(END)[1]
        DOCUMENT.write_text(f"{before}{BEGIN}\n{markdown(found)}\n{END}{after}", encoding="utf-8")
    broken = [f"BROKEN {row.name} ({row.bench}): {what}" for row in found for what in row.broken]
    print(
        "\n".join(broken)
        or f"{len({row.name for row in found})} faults, {len(found)} times injected, all as they should be"
    )
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
