"""`perception_node`: camera frames in, key-patches out; extraction as a service."""

from __future__ import annotations

import sys
from pathlib import Path

from glue_msgs.msg import KeyPatchArray
from glue_msgs.srv import ExtractKeypoints
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup

from glue_bringup.loop.bag_task import redetections_of, task_to_replay
from glue_bringup.loop.perception_worker import PerceptionWorker
from glue_bringup.loop.recent_latencies import RecentLatencies
from glue_bringup.nodes import names, parameters, qos
from glue_bringup.nodes.camera_input import CameraInput
from glue_bringup.nodes.lifecycle import Health, ShellNode, answer, run_node
from glue_bringup.task_config import load_task
from glue_perception.bags import topics
from glue_perception.bags.messages import key_patches_message
from glue_perception.bags.reader import BagReader
from glue_perception.nets.compute import Device
from glue_perception.perception_config import PROFILES
from glue_perception.pipeline import build_pipeline
from glue_perception.redetection.config import RedetectionMode
from glue_perception.ros_conversions import ros_message
from glue_perception.types import KeyPatches

EXTRACTION_TIMEOUT_S = 30.0


class PerceptionNode(ShellNode):
    """Perception runs in the worker's thread; the executor's threads only receive and send."""

    def __init__(self) -> None:
        super().__init__("perception_node")
        self._task_name = parameters.text(
            self, "task", "push_button", "a shipped task, or a task's YAML file"
        )
        self._simulated = parameters.switch(self, "simulated", False, "frames come from a simulated camera")
        profiles, devices = ["", *PROFILES], ["", *(device.value for device in Device)]
        self._profile = parameters.choice(
            self, "profile", "", profiles, "set of perception back-ends; empty: the task's own"
        )
        self._device = parameters.choice(
            self, "device", "", devices, "where perception's networks run; empty: the task's own"
        )
        self._replay = parameters.text(
            self,
            "replay",
            "",
            "directory of the bag that is being replayed: searches for lost objects are waited for and taken in as "
            "its record says; empty: live",
        )
        self._tracked_share = 0.0
        self._latencies = RecentLatencies()

    def configure(self) -> None:
        """Build the pipeline; weights are loaded here."""
        redetections = None
        if self._replay:
            with BagReader(Path(self._replay)) as bag:
                task = task_to_replay(bag, self._task_name)
                redetections = None if self._task_name else redetections_of(bag)
        else:
            task = load_task(self._task_name)
        task = task.with_perception(self._profile, self._device)
        task = task.for_simulation() if self._simulated else task
        mode = RedetectionMode.WAIT if self._replay else RedetectionMode.BACKGROUND
        pipeline = self.resources.enter_context(build_pipeline(task.perception, task.queries, mode))
        self._worker = PerceptionWorker(pipeline, self._publish, self._latencies, self.die, redetections)
        self._patches = self.create_lifecycle_publisher(KeyPatchArray, topics.KEY_PATCHES, qos.ANSWER)
        self.resources.callback(self._worker.stop)
        CameraInput(self, self._worker.offer)
        self.create_service(
            ExtractKeypoints,
            names.EXTRACT_KEYPOINTS,
            self._extract,
            callback_group=MutuallyExclusiveCallbackGroup(),
        )

    def activate(self) -> None:
        """Start the worker."""
        self._worker.start()

    def deactivate(self) -> None:
        """Stop the worker."""
        self._worker.stop()

    def step_s(self) -> float:
        """Return how long the worker has been at its step."""
        return self._worker.step_s

    def diagnose(self) -> Health:
        """Return how perception fares."""
        words = "tracking" if self._worker.tracking else "no objects extracted yet"
        values = {"tracked_share": f"{self._tracked_share:.2f}", **self._latencies.values()}
        return Health(True, words, values)

    def _extract(
        self, request: ExtractKeypoints.Request, response: ExtractKeypoints.Response
    ) -> ExtractKeypoints.Response:
        def extract() -> None:
            patches = self._worker.extract(request.timeout or EXTRACTION_TIMEOUT_S)
            response.key_patches = ros_message(key_patches_message(patches))

        return answer(response, extract)

    def _publish(self, patches: KeyPatches) -> None:
        self._tracked_share = patches.tracked_share
        self._patches.publish(ros_message(key_patches_message(patches)))


def main() -> int:
    """Run the node."""
    return run_node(PerceptionNode, niceness=3)


if __name__ == "__main__":
    sys.exit(main())
