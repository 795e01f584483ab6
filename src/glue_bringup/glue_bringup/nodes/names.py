"""Services, actions and topics of a running graph beside the topics of a bag (`glue_perception.bags.topics`)."""

from __future__ import annotations

CONTROL_PATH = (
    "sim_node",
    "camera_node",
    "perception_node",
    "policy_node",
    "teleop_node",
    "arm_node",
    "task_node",
)
"""Without any of these an episode cannot go on; which of them there are is the launch file's choice."""

EXTRACT_KEYPOINTS = "/glue/extract_keypoints"
START_POLICY = "/glue/start_policy"
STOP_POLICY = "/glue/stop_policy"
RESET_SAFETY = "/glue/reset_safety"
COME_TO_REST = "/glue/come_to_rest"
HOLD = "/glue/hold"
RELEASE = "/glue/release"
EMERGENCY_STOP = "/glue/emergency_stop"
RESET_EMERGENCY_STOP = "/glue/reset_emergency_stop"
RECOVER_FROM_ERROR = "/glue/recover_from_error"
RUN_TASK = "/glue/run_task"
START_EPISODE = "/glue/start_episode"
STOP_EPISODE = "/glue/stop_episode"

OPERATOR_LINE = "/glue/operator_line"
"""std_msgs/String, kept for late joiners: what the arm does, or why it does not move, in one sentence for people."""

CHUNK_EXECUTION = "/glue/chunk_execution"
"""glue_msgs/ChunkExecution, from arm_node to policy_node: what became of the chunks."""

ALIVE = "/glue/alive"
"""std_msgs/UInt64, when it was activated [ns]: every active node has /glue/alive/NODE; see `beacon`."""

TASK_DONE = "/glue/task_done"
"""std_msgs/Bool, kept for late joiners: whoever judges success (the twin, an operator) says true here."""

SIM_ROBOT_IP = "/glue/sim/robot_ip"
"""std_msgs/String, kept for late joiners: where the simulated robot listens."""

VIEW_IMAGE = "/glue/view/image"
"""sensor_msgs/Image: the camera's picture with what perception and policy say drawn into it, for people."""

VIEW_PATH = "/glue/view/path"
"""nav_msgs/Path: the newest action chunk, for people."""

SIM_MEASURED = "/glue/sim/measured"
"""std_msgs/Float64MultiArray: where the twin's movable objects are, in its own order; for the scripted expert."""

RECORDER_STATE = "/glue/recorder_state"
"""std_msgs/String, kept for late joiners: idle, recording or stopped; while recording a demonstrator moves."""

DEADMAN = "/glue/deadman"
"""std_msgs/Bool, from teleop_node to arm_node: whether the operator holds the deadman switch, many times a second."""

KEYS = "/glue/keys"
"""std_msgs/String: keys that the operator pressed, one character each."""
