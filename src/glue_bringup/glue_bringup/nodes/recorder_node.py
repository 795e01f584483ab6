"""`recorder_node`: the graph's topics into one bag per episode, begun and ended by services, audited on the way."""

from __future__ import annotations

import sys
import threading
from enum import StrEnum
from pathlib import Path

from glue_msgs.msg import ActionChunk, KeyPatchArray, RobotState, SafetyEvent, TargetPose
from glue_msgs.srv import ExtractKeypoints, StartEpisode, StopEpisode
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from std_msgs.msg import String

from glue_bringup.loop.episode import HostKind
from glue_bringup.loop.session import episode_metadata
from glue_bringup.nodes import names, parameters, qos
from glue_bringup.nodes.calls import call
from glue_bringup.nodes.camera_input import CameraInput
from glue_bringup.nodes.lifecycle import Health, ShellNode, run_node
from glue_bringup.recording.audit import AuditConfig
from glue_bringup.recording.demonstration_recorder import (
    DemonstrationRecorder,
    RecordedEpisode,
    RecorderState,
)
from glue_bringup.recording.episode_listing import repair_all
from glue_bringup.recording.live_recorder import LiveRecorder
from glue_bringup.recording.rollout_recorder import RolloutRecorder
from glue_bringup.recording.said_metadata import said_metadata
from glue_bringup.task_config import load_task
from glue_perception.bags import messages, robot_messages, topics
from glue_perception.errors import GlueError, QueryError
from glue_perception.types import KeyPatches

EXTRACTION_TIMEOUT_S = 30.0
CALL_MARGIN_S = 30.0
STATUS_PERIOD_S = 1.0

VERDICTS = {
    StopEpisode.Request.SUCCESS: DemonstrationRecorder.success,
    StopEpisode.Request.FAILURE: DemonstrationRecorder.failure,
    StopEpisode.Request.DISCARD: DemonstrationRecorder.discard,
}


class Kind(StrEnum):
    """DEMONSTRATIONS: what a policy learns from. ROLLOUTS: what a policy did."""

    DEMONSTRATIONS = "demonstrations"
    ROLLOUTS = "rollouts"


class RecorderNode(ShellNode):
    """Writing has threads of its own; the executor's threads only hand over."""

    def __init__(self) -> None:
        super().__init__("recorder_node")
        text = parameters.text
        self._task_name = text(self, "task", "push_button", "a shipped task, or a task's YAML file")
        self._out = text(self, "out", "bags", "folder that gets one bag per episode")
        self._kind = parameters.choice(
            self,
            "kind",
            Kind.DEMONSTRATIONS,
            list(Kind),
            "demonstrations to learn from, or what a policy did",
        )
        self._actor = text(
            self,
            "actor",
            "",
            "what moves the arm: spacemouse, keyboard, expert, or a checkpoint; for the record",
        )
        self._operator = text(self, "operator", "", "who demonstrates, for the record")
        self._notes = text(self, "notes", "", "about the scene, for the record")
        self._calibration = text(self, "calibration", "", "a calibration's YAML file, kept in each bag")
        self._simulated = parameters.switch(self, "simulated", False, "robot and camera are the twin's")
        self._profile = text(self, "profile", "", "as perception_node's, for the record")
        self._device = text(self, "device", "", "as perception_node's, for the record")
        self._ending = threading.Event()

    def configure(self) -> None:
        """Make ready to write; finish what a killed recorder left."""
        task = load_task(self._task_name).with_perception(self._profile, self._device)
        self._task = task.for_simulation() if self._simulated else task
        said = said_metadata(
            self._operator, self._notes, Path(self._calibration) if self._calibration else None
        )
        folder = Path(self._out).expanduser().resolve()
        for line in repair_all(folder):
            self.get_logger().warning(line)
        audit = AuditConfig.at_rates(task.policy.rate_hz, task.camera.rate_hz)
        make = DemonstrationRecorder if self._kind == Kind.DEMONSTRATIONS else RolloutRecorder
        self._live = LiveRecorder(make(folder, said, audit))
        self.resources.callback(self._live.close)
        self.resources.callback(self._ending.set)
        self._state_topic = self.create_publisher(String, names.RECORDER_STATE, qos.KEPT)
        self._subscribe()
        self._extract = self.create_client(
            ExtractKeypoints, names.EXTRACT_KEYPOINTS, callback_group=MutuallyExclusiveCallbackGroup()
        )
        group = MutuallyExclusiveCallbackGroup()
        self.create_service(StartEpisode, names.START_EPISODE, self._start, callback_group=group)
        self.create_service(StopEpisode, names.STOP_EPISODE, self._stop, callback_group=group)
        self._tell_state()

    def activate(self) -> None:
        """Say once a second how a recording fares."""
        self.create_timer(STATUS_PERIOD_S, self._say_status, callback_group=MutuallyExclusiveCallbackGroup())

    def diagnose(self) -> Health:
        """Return how recording fares."""
        words = self._live.status()
        return Health("NOT RECORDING" not in words, words, {"frames_missed": str(self._live.unmatched)})

    def _subscribe(self) -> None:
        subscribe, live = self.receive, self._live
        CameraInput(self, live.frame, qos.SENSOR_ALL)
        state_of, target_of = robot_messages.robot_state_of, robot_messages.target_of
        subscribe(RobotState, topics.ROBOT_STATE, lambda m: live.robot_state(state_of(m)), qos.SENSOR_ALL)
        subscribe(TargetPose, topics.TARGET, lambda m: live.target(*target_of(m)), qos.SENSOR_ALL)
        patches_of, chunk_of = messages.key_patches_of, messages.action_chunk_of
        subscribe(KeyPatchArray, topics.KEY_PATCHES, lambda m: live.key_patches(patches_of(m)), qos.ANSWER)
        subscribe(ActionChunk, topics.ACTION_CHUNK, lambda m: live.chunk(chunk_of(m)), qos.ANSWER)
        subscribe(
            ActionChunk,
            topics.DEMONSTRATED_ACTION,
            lambda m: live.demonstrated_action(chunk_of(m)),
            qos.ANSWER,
        )
        subscribe(SafetyEvent, topics.SAFETY_EVENT, self._safety_event, qos.EVENT)

    def _safety_event(self, message: SafetyEvent) -> None:
        event = messages.safety_event_of(message)
        self._live.safety_event(event.stamp_ns, event.mode, event.reason)

    def _start(self, request: StartEpisode.Request, response: StartEpisode.Response) -> StartEpisode.Response:
        timeout_s = request.timeout or EXTRACTION_TIMEOUT_S
        try:
            bag = self._live.begin(
                lambda: self._find_objects(timeout_s), self._metadata(request.seed), request.name
            )
        except GlueError as error:
            response.success, response.message = False, str(error)
            response.objects_found = not isinstance(error, QueryError)
        else:
            response.success, response.objects_found, response.bag = True, True, str(bag)
            self.get_logger().info(f"recording {bag}")
        self._tell_state()
        return response

    def _find_objects(self, timeout_s: float) -> KeyPatches:
        request = ExtractKeypoints.Request(timeout=timeout_s)
        response = call(self._extract, request, timeout_s + CALL_MARGIN_S, self._ending)
        if not response.success:
            raise QueryError(response.message)
        return messages.key_patches_of(response.key_patches)

    def _metadata(self, seed: int) -> dict[str, str]:
        task = self._task
        actor = self._actor or task.policy.checkpoint
        said = episode_metadata(task, actor, HostKind.GRAPH, seed, task.camera.T_base_camera.tolist())
        if not self._simulated:
            del said["T_base_camera"]  # the task's is the twin's; a real camera's place is not known
        if self._kind == Kind.DEMONSTRATIONS:
            said["demonstrator"] = actor
        return said

    def _stop(self, request: StopEpisode.Request, response: StopEpisode.Response) -> StopEpisode.Response:
        try:
            if request.outcome == StopEpisode.Request.LATER:
                self._live.stop()
                response.success = True
            else:
                self._end(request.outcome, response)
        except GlueError as error:
            response.success, response.message = False, str(error)
        self._tell_state()
        return response

    def _end(self, outcome: int, response: StopEpisode.Response) -> None:
        verdict = VERDICTS.get(outcome, DemonstrationRecorder.abort)
        episode = self._live.finish(verdict)
        response.success, response.bag = True, str(episode.path)
        response.recorded_as = episode.outcome.value
        response.message = _found(episode)
        self.get_logger().info(f"{episode.path}: {episode.outcome.value}")
        if response.message:
            self.get_logger().warning(response.message)

    def _tell_state(self) -> None:
        self._state_topic.publish(String(data=self._live.state.value))

    def _say_status(self) -> None:
        if self._live.state is not RecorderState.IDLE:
            self.get_logger().info(self._live.status())


def _found(episode: RecordedEpisode) -> str:
    said = [f"{finding.severity.value}: {finding.text}" for finding in episode.findings]
    return "; ".join([*said, episode.failure] if episode.failure else said)


def main() -> int:
    """Run the node."""
    return run_node(RecorderNode, niceness=5)


if __name__ == "__main__":
    sys.exit(main())
