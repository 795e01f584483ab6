"""How evenly targets came and how closely the arm followed them, from recorded episodes of a twin or a robot.

glue sim push_button --policy expert --episodes 3 --record out/bags
python scripts/measure_following.py out/bags/*
"""

import argparse
from dataclasses import fields
from pathlib import Path

from glue_bringup.recording.following import Following, following


def main() -> None:
    """Print a row for every bag."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bags", nargs="+", type=Path)
    names = [field.name for field in fields(Following)]
    print("| bag | " + " | ".join(names) + " |\n|---|" + "---|" * len(names))
    for path in filter(Path.is_dir, parser.parse_args().bags):  # beside the bags lies a list of the episodes
        found = following(path)
        print(f"| {path.name} | " + " | ".join(f"{getattr(found, name):.1f}" for name in names) + " |")


if __name__ == "__main__":
    main()
