"""What runs a task by its policy, on a robot or in the twin: policy, episodes, their record, their viewers."""

from __future__ import annotations

from glue_bringup.nodes.launch_graph import Shell
from glue_bringup.nodes.launch_recorder import RECORD_ARGUMENTS, rollout_recorder
from glue_bringup.nodes.launch_viewers import VIEWER_ARGUMENTS, view_shell

TASK_ARGUMENTS = (*RECORD_ARGUMENTS, *VIEWER_ARGUMENTS)


def task_shells(simulated: str) -> tuple[Shell, ...]:
    """Return the nodes beside robot, camera and perception.

    Args:
        simulated: Whether robot and camera are the twin's: true, false, or $ and a launch argument.
    """
    episodes = {"run_on_start": "$run", "end_after": "$end_after", "record": "$record"}
    return (
        Shell("policy_node", {"task": "$task", "checkpoint": "$checkpoint"}),
        Shell("task_node", {"task": "$task", "seed": "$seed", **episodes}),
        rollout_recorder(simulated),
        view_shell(simulated),
    )
