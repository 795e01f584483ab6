"""Runs a task in the simulation twin: ros2 launch glue_bringup sim.launch.py task:=push_button."""

from launch import LaunchDescription

from glue_bringup.nodes.launch_graph import Shell, arguments, graph


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            *arguments(),
            graph(
                Shell("sim_node", {"task": "$task", "seed": "$seed"}),
                Shell("perception_node", {"task": "$task", "simulated": "true"}),
                Shell("policy_node", {"task": "$task", "checkpoint": "$checkpoint"}),
                Shell("arm_node", {"task": "$task", "robot_ip": "simulated"}),
                Shell(
                    "task_node",
                    {"task": "$task", "seed": "$seed", "run_on_start": "$run", "end_after": "$end_after"},
                ),
            ),
        ]
    )
