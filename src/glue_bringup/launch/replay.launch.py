"""Shows a bag to perception and policy and compares: ros2 launch glue_bringup replay.launch.py bag:=DIRECTORY."""

from launch import LaunchDescription

from glue_bringup.nodes.launch_graph import Shell, arguments, graph

ARGUMENTS = (
    ("bag", "", "Directory of the bag. Must be given. Nothing is sent to an arm."),
    (
        "task",
        "",
        "Another task than the bag's own: a shipped one or the path of a YAML file. Needed for a bag that does not "
        "say its task, e.g. one of `ros2 bag record`.",
    ),
)


def generate_launch_description() -> LaunchDescription:
    shown = {"task": "$task", "replay": "$bag"}
    return LaunchDescription(
        [
            *arguments(ARGUMENTS, without=("task", "seed", "run", "end_after")),
            graph(
                Shell("replay_node", {"bag": "$bag"}),
                Shell("perception_node", shown),
                Shell("policy_node", {**shown, "checkpoint": "$checkpoint"}),
            ),
        ]
    )
