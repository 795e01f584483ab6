"""The topics of a bag: names and types.

Standard topics are named as users of a Franka and a RealSense know them, so that stock tools can show a bag.
Those under /glue are ours; where they repeat a standard topic they carry its values exactly.
"""

from __future__ import annotations

IMAGE = "/camera/camera/color/image_raw"
CAMERA_INFO = "/camera/camera/color/camera_info"
ALIGNED_DEPTH = "/camera/camera/aligned_depth_to_color/image_raw"
JOINT_STATES = "/joint_states"
CURRENT_POSE = "/current_pose"
TARGET_POSE = "/target_pose"
ROBOT_STATE = "/glue/robot_state"
TARGET = "/glue/target"
KEY_PATCHES = "/glue/key_patches"
ACTION_CHUNK = "/glue/action_chunk"
DEMONSTRATED_ACTION = "/glue/demonstrated_action"
SAFETY_EVENT = "/glue/safety_event"

MESSAGE_TYPES = {
    IMAGE: "sensor_msgs/msg/Image",
    CAMERA_INFO: "sensor_msgs/msg/CameraInfo",
    ALIGNED_DEPTH: "sensor_msgs/msg/Image",
    JOINT_STATES: "sensor_msgs/msg/JointState",
    CURRENT_POSE: "geometry_msgs/msg/PoseStamped",
    TARGET_POSE: "geometry_msgs/msg/PoseStamped",
    ROBOT_STATE: "glue_msgs/msg/RobotState",
    TARGET: "glue_msgs/msg/TargetPose",
    KEY_PATCHES: "glue_msgs/msg/KeyPatchArray",
    ACTION_CHUNK: "glue_msgs/msg/ActionChunk",
    DEMONSTRATED_ACTION: "glue_msgs/msg/ActionChunk",
    SAFETY_EVENT: "glue_msgs/msg/SafetyEvent",
}

BULK_TOPICS = frozenset({IMAGE, CAMERA_INFO, ALIGNED_DEPTH})
"""Written into chunks of their own, so that all else is read without decompressing images."""

BASE_FRAME = "panda_link0"
CAMERA_FRAME = "camera_color_optical_frame"
JOINT_NAMES = tuple(f"panda_joint{i}" for i in range(1, 8))
FINGER_JOINT_NAMES = ("panda_finger_joint1", "panda_finger_joint2")
