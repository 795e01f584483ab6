"""The recorder of a graph: of demonstrations, or of what a policy did."""

from __future__ import annotations

from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration

from glue_bringup.nodes.launch_graph import Shell
from glue_bringup.nodes.launch_robot import SEEN

OUT_ARGUMENT = ("out", "bags", "Folder that gets one bag per episode.")
SAID_ARGUMENTS = (
    ("operator", "", "Who demonstrates, for the record."),
    ("notes", "", "About the scene, for the record."),
    ("calibration", "", "A calibration's YAML file, whose text is kept in each bag."),
)
RECORD_ARGUMENTS = (
    ("record", "false", "true: record every episode as a bag."),
    OUT_ARGUMENT,
    *SAID_ARGUMENTS,
)
SAID = {"operator": "$operator", "notes": "$notes", "calibration": "$calibration"}


def rollout_recorder(simulated: str) -> Shell:
    """Return the recorder of a policy's episodes, which runs if `record` is true.

    Args:
        simulated: Whether robot and camera are the twin's: true, false, or $ and a launch argument.
    """
    said = {
        "out": "$out",
        "kind": "rollouts",
        "actor": "$checkpoint",
        "simulated": simulated,
    }
    return Shell("recorder_node", {**SEEN, **said, **SAID}, IfCondition(LaunchConfiguration("record")))
