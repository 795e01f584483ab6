"""Records demonstrations: ros2 launch glue_bringup record.launch.py task:=push_button teleop:=spacemouse.

Begin and end an episode by the SpaceMouse's buttons, by keys in a terminal of their own
(python -m glue_bringup.nodes keys_node), or by the services /glue/start_episode and /glue/stop_episode.
"""

from launch import LaunchDescription

from glue_bringup.nodes.launch_graph import Shell, arguments, graph
from glue_bringup.nodes.launch_recorder import OUT_ARGUMENT, SAID, SAID_ARGUMENTS
from glue_bringup.nodes.launch_robot import ROBOT_ARGUMENTS, SEEN, robot_shells, stock_camera
from glue_bringup.nodes.launch_viewers import VIEWER_ARGUMENTS, view_shell, viewers

ARGUMENTS = (
    (
        "teleop",
        "spacemouse",
        "spacemouse, keyboard, or expert: the scripted one, in the twin only; it records one episode at once.",
    ),
    (
        "settings",
        "",
        "YAML file of dead band, speeds, buttons and so on (docs/recording.md). Empty: the defaults.",
    ),
    ("max_duration", "0.0", "Longest episode [s]. 0.0: 60, for the expert the task's own."),
    ("noise_m", "0.0", "Disturbance of the expert's motion [m], so that demonstrations hold recoveries."),
    OUT_ARGUMENT,
    *SAID_ARGUMENTS,
)


def generate_launch_description() -> LaunchDescription:
    said = {"out": "$out", "actor": "$teleop", "simulated": "$use_fake_hardware"}
    return LaunchDescription(
        [
            *arguments((*ARGUMENTS, *ROBOT_ARGUMENTS, *VIEWER_ARGUMENTS), without=("checkpoint", "run")),
            viewers(),
            stock_camera(),
            graph(
                *robot_shells(),
                Shell("recorder_node", {**SEEN, **said, **SAID}),
                Shell(
                    "teleop_node",
                    {
                        "task": "$task",
                        "teleop": "$teleop",
                        "settings": "$settings",
                        "seed": "$seed",
                        "noise_m": "$noise_m",
                        "max_duration": "$max_duration",
                        "end_after": "$end_after",
                    },
                ),
                view_shell(simulated="$use_fake_hardware"),
            ),
        ]
    )
