"""Runs a task on a Franka: ros2 launch glue_bringup real.launch.py task:=push_button robot_ip:=172.16.0.2."""

from launch import LaunchDescription
from launch.conditions import IfCondition, UnlessCondition
from launch.substitutions import AndSubstitution, LaunchConfiguration, NotEqualsSubstitution, NotSubstitution

from glue_bringup.nodes.launch_graph import Shell, arguments, graph

ARGUMENTS = (
    (
        "robot_ip",
        "",
        "Address of the robot, e.g. 172.16.0.2. Empty: robot.robot_ip of the task's YAML.",
    ),
    ("robot_model", "", "panda or fr3. Empty: robot.model of the task's YAML."),
    ("use_fake_hardware", "false", "true: the simulation twin takes the place of robot and camera."),
    (
        "camera",
        "realsense",
        "realsense, realsense:SERIAL, or the path of a clip or a bag. none: another node publishes the camera's "
        "topics, e.g. the stock realsense2_camera.",
    ),
)


def generate_launch_description() -> LaunchDescription:
    fake = LaunchConfiguration("use_fake_hardware")
    own_camera = AndSubstitution(
        NotSubstitution(fake), NotEqualsSubstitution(LaunchConfiguration("camera"), "none")
    )
    arm = {"task": "$task", "robot_ip": "$robot_ip", "robot_model": "$robot_model"}
    return LaunchDescription(
        [
            *arguments(ARGUMENTS, run="false"),
            graph(
                Shell("sim_node", {"task": "$task", "seed": "$seed"}, IfCondition(fake)),
                Shell("camera_node", {"source": "$camera"}, IfCondition(own_camera)),
                Shell("perception_node", {"task": "$task", "simulated": "$use_fake_hardware"}),
                Shell("policy_node", {"task": "$task", "checkpoint": "$checkpoint"}),
                Shell("arm_node", arm, UnlessCondition(fake)),
                Shell("arm_node", {"task": "$task", "robot_ip": "simulated"}, IfCondition(fake)),
                Shell(
                    "task_node",
                    {"task": "$task", "seed": "$seed", "run_on_start": "$run", "end_after": "$end_after"},
                ),
            ),
        ]
    )
