"""Shows a bag to perception and policy and compares: ros2 launch glue_bringup replay.launch.py bag:=DIRECTORY."""

from launch import LaunchDescription

from glue_bringup.nodes.launch_graph import Shell, arguments, graph

ARGUMENTS = (("bag", "", "Directory of the bag. Must be given. Nothing is sent to an arm."),)


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            *arguments(ARGUMENTS, without=("seed", "run", "end_after")),
            graph(
                Shell("replay_node", {"bag": "$bag"}),
                Shell("perception_node", {"task": "$task", "simulated": "true", "wait_for_searches": "true"}),
                Shell("policy_node", {"task": "$task", "checkpoint": "$checkpoint", "exact_states": "true"}),
            ),
        ]
    )
