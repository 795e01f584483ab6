"""Robot and camera of a graph: the real ones or the twin, on this computer or on another."""

from __future__ import annotations

from launch.conditions import IfCondition
from launch.substitutions import AndSubstitution, LaunchConfiguration, NotEqualsSubstitution, NotSubstitution

from glue_bringup.nodes.launch_graph import Shell

ROBOT_ARGUMENTS = (
    (
        "robot_ip",
        "",
        "Address of the robot, e.g. 172.16.0.2. Empty: robot.robot_ip of the task's YAML.",
    ),
    ("robot_model", "", "panda or fr3. Empty: robot.model of the task's YAML."),
    ("use_fake_hardware", "false", "true: the simulation twin takes the place of robot and camera."),
    ("arm", "true", "false: arm_node runs on another computer, the one at the robot; see docs/install.md."),
    (
        "camera",
        "realsense",
        "realsense, realsense:SERIAL, or the path of a clip or a bag. none: another node publishes the camera's "
        "topics, e.g. the stock realsense2_camera.",
    ),
)


def robot_shells() -> tuple[Shell, ...]:
    """Return the nodes of robot, camera and perception, as `ROBOT_ARGUMENTS` say."""
    fake = LaunchConfiguration("use_fake_hardware")
    real = NotSubstitution(fake)
    own_camera = AndSubstitution(real, NotEqualsSubstitution(LaunchConfiguration("camera"), "none"))
    own_arm = AndSubstitution(real, LaunchConfiguration("arm"))
    arm = {"task": "$task", "robot_ip": "$robot_ip", "robot_model": "$robot_model"}
    return (
        Shell("sim_node", {"task": "$task", "seed": "$seed"}, IfCondition(fake)),
        Shell("camera_node", {"source": "$camera"}, IfCondition(own_camera)),
        Shell("perception_node", {"task": "$task", "simulated": "$use_fake_hardware"}),
        Shell("arm_node", arm, IfCondition(own_arm)),
        Shell("arm_node", {"task": "$task", "robot_ip": "simulated"}, IfCondition(fake)),
    )
