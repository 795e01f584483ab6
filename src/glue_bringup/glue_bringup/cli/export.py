"""`glue export`: demonstrations as a dataset for other projects."""

from __future__ import annotations

import argparse
from pathlib import Path


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command `export`."""
    parser = subparsers.add_parser(
        "export",
        help="write demonstrations as a LeRobot, robomimic or Diffusion Policy dataset",
        description="Write the successful demonstrations in a folder of bags as one dataset. Only the demonstrated "
        "steps are written. Fields, units and what is lossy: docs/data.md.",
    )
    parser.add_argument(
        "format", metavar="FORMAT", help="lerobot (v3.0), robomimic (HDF5) or diffusion_policy (zarr)"
    )
    parser.add_argument("bags", type=Path, metavar="BAGS_DIR", help="a folder of bags, e.g. data/push_button")
    parser.add_argument("out", type=Path, metavar="OUT", help="the new dataset; must not exist")
    parser.add_argument(
        "--images",
        choices=("video", "png"),
        default="video",
        help="lerobot only: small and lossy, or exact; default: video",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Export and say what was written."""
    # Imported here so that `glue --help` answers at once.
    from glue_policy.data.interchange.convert import export_bags
    from glue_policy.data.interchange.formats import find_format

    count = export_bags(find_format(args.format, args.images), args.bags, args.out)
    print(f"{count} demonstrations written to {args.out}")
    return 0
