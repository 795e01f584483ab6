"""`replay_node`: a bag as camera and robot of the graph, in lock-step; compares what comes back with the record.

Every frame waits for its key-patches, and every frame that has a recorded chunk for its chunk, so that nothing is
skipped however slow the machine is. There is no arm: nothing moves.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from glue_msgs.msg import ActionChunk, KeyPatchArray, RobotState
from glue_msgs.srv import ExtractKeypoints, StartPolicy
from rclpy.callback_groups import ReentrantCallbackGroup
from sensor_msgs.msg import CameraInfo, Image

from glue_bringup.loop.replay_comparison import ReplayComparison
from glue_bringup.nodes import names, parameters, qos
from glue_bringup.nodes.lifecycle import ShellNode, run_node
from glue_perception.bags import topics
from glue_perception.bags.messages import action_chunk_of, key_patches_of
from glue_perception.bags.reader import BagReader
from glue_perception.bags.robot_messages import robot_state_message
from glue_perception.errors import BagError, HardwareError
from glue_perception.ros_conversions import camera_info_to_ros, image_to_ros, ros_message
from glue_perception.types import CameraFrame

ANSWER_TIMEOUT_S = 60.0
FIRST_TIMEOUT_S = 180.0
AGAIN_S = 0.2
"""Best-effort topics lose messages: a frame without an answer is sent again, which changes nothing."""


class ReplayNode(ShellNode):
    """Ends with exit code 0 when everything came out as recorded, 1 when not, and the bag's error otherwise."""

    def __init__(self) -> None:
        super().__init__("replay_node")
        self._path = parameters.text(self, "bag", "", "directory of the bag")
        self._stopping = threading.Event()

    def configure(self) -> None:
        """Read the bag and connect."""
        if not self._path:
            raise BagError("no bag is given; start with bag:=DIRECTORY")
        with BagReader(Path(self._path)) as bag:
            self._frames = list(bag.frames())
            self._states = {state.stamp_ns: state for state in bag.robot_states()}
            self._comparison = ReplayComparison(list(bag.key_patches()), list(bag.chunks()))
            self._policy_seed = int(bag.metadata.get("seed", "0"))
        if not self._frames:
            raise BagError(f"{self._path} holds no images on {topics.IMAGE}; was the camera recorded?")
        self._images = self.create_lifecycle_publisher(Image, topics.IMAGE, qos.SENSOR)
        self._infos = self.create_lifecycle_publisher(CameraInfo, topics.CAMERA_INFO, qos.SENSOR)
        self._robot = self.create_lifecycle_publisher(RobotState, topics.ROBOT_STATE, qos.SENSOR)
        group = ReentrantCallbackGroup()
        self.create_subscription(
            KeyPatchArray, topics.KEY_PATCHES, self._key_patches, qos.ANSWER, callback_group=group
        )
        self.create_subscription(
            ActionChunk, topics.ACTION_CHUNK, self._chunk, qos.ANSWER, callback_group=group
        )
        self._extract = self.create_client(ExtractKeypoints, names.EXTRACT_KEYPOINTS, callback_group=group)
        self._start = self.create_client(StartPolicy, names.START_POLICY, callback_group=group)

    def activate(self) -> None:
        """Start to play."""
        self._thread = threading.Thread(target=self._play, name="replay", daemon=True)
        self._thread.start()
        self.resources.callback(self._stopping.set)

    def _key_patches(self, message: KeyPatchArray) -> None:
        self._comparison.key_patches(key_patches_of(message))

    def _chunk(self, message: ActionChunk) -> None:
        self._comparison.chunk(action_chunk_of(message))

    def _play(self) -> None:
        try:
            self._play_all()
        except BaseException as error:
            if not self._stopping.is_set():
                self.die(error)
            return
        self.get_logger().info(self._comparison.words)
        self.end(0 if self._comparison.identical else 1)

    def _play_all(self) -> None:
        self._request(self._extract, ExtractKeypoints.Request(timeout=ANSWER_TIMEOUT_S), self._frames[0])
        started = False
        for frame in self._frames:
            due = self._comparison.has_chunk(frame.stamp_ns)
            if due and not started:
                self._until(frame, self._comparison.patches_came)
                self._request(self._start, StartPolicy.Request(seed=self._policy_seed), frame)
                started = True
            self._until(frame, self._comparison.patches_came)
            if due:
                self._until(frame, self._comparison.chunk_came)

    def _request(self, client: Any, request: Any, frame: CameraFrame) -> None:
        """Call a service that needs frames, and show it one until it answers; HardwareError if it refuses."""
        if not client.wait_for_service(FIRST_TIMEOUT_S):
            raise HardwareError(f"nobody offers {client.srv_name}")
        future = client.call_async(request)
        self._until(frame, lambda _: bool(future.done()), FIRST_TIMEOUT_S)
        response = future.result()
        if not response.success:
            raise HardwareError(f"{client.srv_name}: {response.message}")

    def _until(
        self, frame: CameraFrame, came: Callable[[int], bool], timeout_s: float = ANSWER_TIMEOUT_S
    ) -> None:
        for _ in range(round(timeout_s / AGAIN_S)):
            self._show(frame)
            if self._comparison.wait_for(lambda: came(frame.stamp_ns), AGAIN_S):
                return
            if self._stopping.is_set():
                raise HardwareError("the replay was interrupted")
        raise HardwareError(f"no answer to the frame of {frame.stamp_ns} ns within {timeout_s:g} s")

    def _show(self, frame: CameraFrame) -> None:
        state = self._states.get(frame.stamp_ns)
        if state is not None:
            self._robot.publish(ros_message(robot_state_message(state)))
        self._infos.publish(camera_info_to_ros(frame))
        self._images.publish(image_to_ros(frame))


def main() -> int:
    """Run the node."""
    return run_node(ReplayNode)


if __name__ == "__main__":
    sys.exit(main())
