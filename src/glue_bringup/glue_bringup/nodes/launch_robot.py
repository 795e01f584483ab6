"""Robot, camera and perception of a graph: the real ones or the twin, on this computer or on another."""

from __future__ import annotations

from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext
from launch.actions import OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import AndSubstitution, LaunchConfiguration, NotEqualsSubstitution, NotSubstitution
from launch_ros.actions import Node

from glue_bringup.nodes.launch_graph import Shell
from glue_perception.bags import topics

STOCK_CAMERA = "realsense2_camera"
STOCK_SETTINGS = {"rgb_camera.color_profile": "640x480x30", "enable_depth": False}
"""Those of our own camera_node; the driver's stamps are host time by default (global_time_enabled)."""

SEEING_ARGUMENTS = (
    (
        "profile",
        "",
        "Perception: embedded (no weights, no GPU), full (the paper's networks) or paper. Empty: the task's own.",
    ),
    ("device", "", "Where perception's networks run: auto, cpu or cuda. Empty: the task's own."),
    (
        "dry_run",
        "false",
        "true: everything is computed, checked and published, and the arm stays where it is.",
    ),
)
"""Also those of the twin's launch file."""

ROBOT_ARGUMENTS = (
    (
        "robot_ip",
        "",
        "Address of the robot, e.g. 172.16.0.2. Empty: robot.robot_ip of the task's YAML.",
    ),
    ("robot_model", "", "panda or fr3. Empty: robot.model of the task's YAML."),
    (
        "robot_driver",
        "franky",
        "franky: libfranka's protocol, with robot_ip. crisp_controllers: a robot under ros2_control, started by its "
        "own launch file; arm_node speaks to its topics; see docs/robot.md.",
    ),
    ("use_fake_hardware", "false", "true: the simulation twin takes the place of robot and camera."),
    ("arm", "true", "false: arm_node runs on another computer, the one at the robot; see docs/install.md."),
    (
        "camera",
        "realsense",
        "realsense or realsense:SERIAL: our own camera_node. realsense2_camera: the stock driver, started here. A "
        "path: a clip or a bag. none: another node publishes the camera's topics, on this computer or another.",
    ),
    (
        "image_topic",
        topics.IMAGE,
        "Where the colour images are, for a camera that publishes elsewhere: sensor_msgs/Image, rgb8 or bgr8.",
    ),
    ("camera_info_topic", topics.CAMERA_INFO, "Their sensor_msgs/CameraInfo."),
    *SEEING_ARGUMENTS,
)
SEEN = {"task": "$task", "profile": "$profile", "device": "$device"}
"""Parameters of perception_node in every launch."""


def twin_shells() -> tuple[Shell, ...]:
    """Return the nodes of the twin and of perception, as `SEEING_ARGUMENTS` say."""
    return (
        Shell("sim_node", {"task": "$task", "seed": "$seed"}),
        Shell("perception_node", {**SEEN, "simulated": "true"}),
        Shell("arm_node", {"task": "$task", "dry_run": "$dry_run", "robot_ip": "simulated"}),
    )


def stock_camera() -> OpaqueFunction:
    """Return what starts the stock driver of a RealSense if it is asked for; RuntimeError if it is not installed."""
    return OpaqueFunction(function=_stock_camera)


def _stock_camera(context: LaunchContext) -> list[Any]:
    given = context.launch_configurations
    if given["camera"] != STOCK_CAMERA or given["use_fake_hardware"] == "true":
        return []
    try:
        get_package_prefix(STOCK_CAMERA)
    except PackageNotFoundError as error:
        raise RuntimeError(
            f"camera:={STOCK_CAMERA} needs the package of that name; run: sudo apt install "
            "ros-jazzy-realsense2-camera"
        ) from error
    return [
        Node(
            package=STOCK_CAMERA,
            executable="realsense2_camera_node",
            namespace="camera",
            name="camera",
            parameters=[STOCK_SETTINGS],
            output="screen",
        )
    ]


def robot_shells() -> tuple[Shell, ...]:
    """Return the nodes of robot, camera and perception, as `ROBOT_ARGUMENTS` say."""
    fake = LaunchConfiguration("use_fake_hardware")
    real = NotSubstitution(fake)
    camera = LaunchConfiguration("camera")
    others = AndSubstitution(
        NotEqualsSubstitution(camera, "none"), NotEqualsSubstitution(camera, STOCK_CAMERA)
    )
    own_camera = AndSubstitution(real, others)
    own_arm = AndSubstitution(real, LaunchConfiguration("arm"))
    arm = {"task": "$task", "dry_run": "$dry_run"}
    robot = {"robot_ip": "$robot_ip", "robot_model": "$robot_model", "robot_driver": "$robot_driver"}
    return (
        Shell("sim_node", {"task": "$task", "seed": "$seed"}, IfCondition(fake)),
        Shell("camera_node", {"source": "$camera"}, IfCondition(own_camera)),
        Shell("perception_node", {**SEEN, "simulated": "$use_fake_hardware"}),
        Shell("arm_node", {**arm, **robot}, IfCondition(own_arm)),
        Shell("arm_node", {**arm, "robot_ip": "simulated"}, IfCondition(fake)),
    )
