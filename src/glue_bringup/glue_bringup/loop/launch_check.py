"""What a launch asks before it starts anything: are task, bag and perception sound? One line if they are not.

Run in the interpreter of the nodes: `python -m glue_bringup.loop.launch_check '{"task": "push_button"}'`. Nothing
heavy is imported. What it cannot know (the checkpoint's content, whether the robot answers) the nodes find out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from glue_bringup.loop.bag_task import check_replayable
from glue_bringup.task_config import load_task
from glue_perception.errors import BagError, GlueError


def check(arguments: Mapping[str, str]) -> None:
    """Refuse launch arguments that cannot work.

    Args:
        arguments: `task`, `profile`, `device` and, in a replay, `bag`; each may be missing.

    Raises:
        GlueError: the first that is wrong, and what to do.
    """
    task = arguments.get("task", "")
    if "bag" not in arguments:
        if task:
            load_task(task).with_perception(arguments.get("profile", ""), arguments.get("device", ""))
        return
    if not arguments["bag"]:
        raise BagError("no bag is given; start with bag:=DIRECTORY")
    check_replayable(Path(arguments["bag"]), task)


def main() -> int:
    """Check the arguments given as JSON; print what is wrong in one line and return its exit code."""
    try:
        check(json.loads(sys.argv[1]))
    except GlueError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
