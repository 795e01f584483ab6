"""Runs a task in the simulation twin: ros2 launch glue_bringup sim.launch.py task:=push_button."""

from launch import LaunchDescription

from glue_bringup.nodes.launch_graph import arguments, graph
from glue_bringup.nodes.launch_robot import SEEING_ARGUMENTS, twin_shells
from glue_bringup.nodes.launch_task import TASK_ARGUMENTS, task_shells
from glue_bringup.nodes.launch_viewers import viewers


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            *arguments((*SEEING_ARGUMENTS, *TASK_ARGUMENTS)),
            viewers(),
            graph(*twin_shells(), *task_shells(simulated="true")),
        ]
    )
