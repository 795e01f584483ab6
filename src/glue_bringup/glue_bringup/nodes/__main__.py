"""Runs a node by name: `python -m glue_bringup.nodes arm_node --ros-args ...`."""

from __future__ import annotations

import importlib
import sys

NODES = (
    "arm_node",
    "camera_node",
    "keys_node",
    "perception_node",
    "policy_node",
    "recorder_node",
    "replay_node",
    "sim_node",
    "task_node",
    "teleop_node",
    "view_node",
)


def main() -> int:
    """Run the node that the first argument names; Ctrl-C ends it with exit code 0, also while it loads."""
    if len(sys.argv) < 2 or sys.argv[1] not in NODES:
        print(f"error: name a node first: {', '.join(NODES)}", file=sys.stderr)
        return 2
    try:
        module = importlib.import_module(f"glue_bringup.nodes.{sys.argv.pop(1)}")
        exit_code: int = module.main()
    except KeyboardInterrupt:
        return 0
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
