"""Inject every fault of the fault suite and print what was seen, as the table of docs/faults.md.

    python scripts/fault_table.py            print it
    python scripts/fault_table.py --write    also write it into docs/faults.md

Takes about a minute. Exit code 1 if a hold began late, a limit was exceeded, or something recorded was lost.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from glue_bringup.arm.limits import FR3, PANDA
from glue_bringup.faults.loop_faults import LOOP_FAULTS, run_in_loop
from glue_bringup.faults.network_faults import NETWORK_FAULTS, run_on_twin
from glue_bringup.faults.report import FaultRow, markdown, run_on_bench
from glue_bringup.faults.table import FAULTS

DOCUMENT = Path(__file__).parents[1] / "docs" / "faults.md"
BEGIN, END = "<!-- generated: python scripts/fault_table.py --write -->", "<!-- end -->"


def rows() -> list[FaultRow]:
    """Inject all faults, one after the other."""
    found = [run_on_bench(fault, FR3 if index % 2 else PANDA) for index, fault in enumerate(FAULTS)]
    with tempfile.TemporaryDirectory() as directory:
        found += [run_in_loop(fault, Path(directory) / str(index)) for index, fault in enumerate(LOOP_FAULTS)]
    return found + [run_on_twin(fault) for fault in NETWORK_FAULTS]


def main() -> int:
    """Run the suite and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"write the table into docs/{DOCUMENT.name}")
    args = parser.parse_args()
    found = sorted(rows(), key=lambda row: row.kind.value)
    print(markdown(found))
    if args.write:
        text = DOCUMENT.read_text(encoding="utf-8")
        before, after = text.split(BEGIN)[0], text.split(END)[1]
        DOCUMENT.write_text(f"{before}{BEGIN}\n{markdown(found)}\n{END}{after}", encoding="utf-8")
    broken = [f"BROKEN {row.name}: {what}" for row in found for what in row.broken]
    print("\n".join(broken) or f"{len(found)} faults, all as they should be")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
