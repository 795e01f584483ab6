"""Runs a task on a Franka: ros2 launch glue_bringup real.launch.py task:=push_button robot_ip:=172.16.0.2."""

from launch import LaunchDescription

from glue_bringup.nodes.launch_graph import Shell, arguments, graph
from glue_bringup.nodes.launch_recorder import RECORD_ARGUMENTS, rollout_recorder
from glue_bringup.nodes.launch_robot import ROBOT_ARGUMENTS, robot_shells
from glue_bringup.nodes.launch_viewers import VIEWER_ARGUMENTS, view_shell, viewers


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            *arguments((*ROBOT_ARGUMENTS, *RECORD_ARGUMENTS, *VIEWER_ARGUMENTS), run="false"),
            viewers(),
            graph(
                *robot_shells(),
                Shell("policy_node", {"task": "$task", "checkpoint": "$checkpoint"}),
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
                rollout_recorder(simulated="$use_fake_hardware"),
                view_shell(simulated="$use_fake_hardware"),
            ),
        ]
    )
