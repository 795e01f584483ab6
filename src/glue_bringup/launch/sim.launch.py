"""Runs a task in the simulation twin: ros2 launch glue_bringup sim.launch.py task:=push_button."""

from launch import LaunchDescription

from glue_bringup.nodes.launch_graph import Shell, arguments, graph
from glue_bringup.nodes.launch_recorder import RECORD_ARGUMENTS, rollout_recorder
from glue_bringup.nodes.launch_viewers import VIEWER_ARGUMENTS, view_shell, viewers


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            *arguments((*RECORD_ARGUMENTS, *VIEWER_ARGUMENTS)),
            viewers(),
            graph(
                Shell("sim_node", {"task": "$task", "seed": "$seed"}),
                Shell("perception_node", {"task": "$task", "simulated": "true"}),
                Shell("policy_node", {"task": "$task", "checkpoint": "$checkpoint"}),
                Shell("arm_node", {"task": "$task", "robot_ip": "simulated"}),
                Shell(
                    "task_node",
                    {
                        "task": "$task",
                        "seed": "$seed",
                        "run_on_start": "$run",
                        "end_after": "$end_after",
                        "record": "$record",
                    },
                ),
                rollout_recorder(simulated="true"),
                view_shell(simulated="true"),
            ),
        ]
    )
