"""`teleop_node`: a demonstrator in the policy's place: SpaceMouse, keyboard, or the twin's scripted expert.

Its chunks go to `arm_node` like a policy's, through the same supervisor; nothing else of it reaches the robot.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
from glue_msgs.msg import ActionChunk as ActionChunkMessage
from glue_msgs.msg import SafetyEvent
from glue_msgs.srv import ComeToRest, ResetSafety, StartEpisode, StopEpisode
from jaxtyping import Float
from rclpy.callback_groups import ReentrantCallbackGroup
from std_msgs.msg import Bool, Float64MultiArray, String

from glue_bringup.loop.action_source import ActionSource, ExpertSource
from glue_bringup.loop.control_worker import FAULT
from glue_bringup.loop.policy_worker import PolicyWorker
from glue_bringup.loop.recent_latencies import RecentLatencies
from glue_bringup.nodes import names, parameters, qos
from glue_bringup.nodes.calls import call
from glue_bringup.nodes.lifecycle import Health, ShellNode, run_node
from glue_bringup.nodes.observation_input import ObservationInput
from glue_bringup.recording.demonstration_recorder import RecorderState
from glue_bringup.task_config import load_task
from glue_bringup.teleop.config import TeleopConfig
from glue_bringup.teleop.demonstrating import (
    AutomaticDemonstration,
    Demonstrated,
    DemonstrationWorker,
    OperatorButtons,
    Verdict,
)
from glue_bringup.teleop.device import TeleopDevice
from glue_bringup.teleop.keyboard import Keyboard
from glue_bringup.teleop.motion import TeleopState
from glue_bringup.teleop.operator import COMMAND_KEYS, OperatorCommand
from glue_bringup.teleop.source import TeleopSource
from glue_bringup.teleop.spacemouse import open_spacemouse
from glue_perception.bags import messages, topics
from glue_perception.config import load_config
from glue_perception.errors import GlueError, HardwareError, NotReadyError
from glue_perception.ros_conversions import ros_message
from glue_perception.types import ActionChunk

RECORDER = "recorder_node"
SPACEMOUSE, KEYBOARD, EXPERT = "spacemouse", "keyboard", "expert"
START_TIMEOUT_S = 150.0
STOP_TIMEOUT_S = 60.0
RESET_TIMEOUT_S = 30.0
REST_TIMEOUT_S = 5.0
FIRST_OBSERVATION_S = 15.0
MAX_DURATION_S = 60.0


class TeleopNode(ShellNode):
    """Decides in the worker's thread, at the task's rate, while `recorder_node` records an episode."""

    def __init__(self) -> None:
        super().__init__("teleop_node")
        self._task_name = parameters.text(
            self, "task", "push_button", "a shipped task, or a task's YAML file"
        )
        devices = (SPACEMOUSE, KEYBOARD, EXPERT)
        self._teleop = parameters.choice(self, "teleop", SPACEMOUSE, devices, "who demonstrates")
        self._settings = parameters.text(
            self, "settings", "", "YAML file of dead band, speeds, buttons and so on; empty: the defaults"
        )
        self._seed = parameters.integer(
            self, "seed", 0, 0, 2**31 - 1, "of the twin's scene, for the expert and the record"
        )
        self._noise_m = parameters.number(
            self, "noise_m", 0.0, 0.0, 0.1, "disturbance of the expert's motion"
        )
        self._max_duration_s = parameters.number(
            self, "max_duration", 0.0, 0.0, 600.0, "of an episode [s]; 0: 60, for the expert the task's own"
        )
        self._end_after = parameters.switch(
            self,
            "end_after",
            False,
            "expert: end after the episode, with exit code 0 only if it was a success",
        )
        self._ending = threading.Event()
        self._latencies = RecentLatencies()
        self._measured: Float[np.ndarray, "k"] | None = None
        self._state = ""

    def configure(self) -> None:
        """Open the device and connect to the other nodes."""
        self._task = load_task(self._task_name)
        self._device = self._open_device()
        self._policy = PolicyWorker(
            self._source,
            self._task.policy.rate_hz,
            self._publish,
            self.watch_others(RECORDER),
            self._cut_short,
            self._latencies,
            self.die,
        )
        self._worker = self._demonstration()
        self._chunks = self._publisher(topics.ACTION_CHUNK)
        self._demonstrated = self._publisher(topics.DEMONSTRATED_ACTION)
        self._deadman = self.create_lifecycle_publisher(Bool, names.DEADMAN, qos.SENSOR)
        self._events = self.create_lifecycle_publisher(SafetyEvent, topics.SAFETY_EVENT, qos.EVENT)
        self._observations = ObservationInput(self, self._policy.offer)
        self._subscribe()
        group = ReentrantCallbackGroup()
        self._start = self.create_client(StartEpisode, names.START_EPISODE, callback_group=group)
        self._stop = self.create_client(StopEpisode, names.STOP_EPISODE, callback_group=group)
        self._rest = self.create_client(ComeToRest, names.COME_TO_REST, callback_group=group)
        self._reset = self.create_client(ResetSafety, names.RESET_SAFETY, callback_group=group)

    def activate(self) -> None:
        """Wait for the operator."""
        self._ending.clear()
        self._policy.start()
        self._worker.start()
        self.resources.callback(self.deactivate)

    def deactivate(self) -> None:
        """Let go of the arm."""
        self._ending.set()
        self._worker.stop()
        self._policy.stop()

    def step_s(self) -> float:
        """Return how long the worker has been at its step."""
        return self._policy.step_s

    def diagnose(self) -> Health:
        """Return how the demonstration fares."""
        deadlines = self._policy.deadlines
        values = {
            "chunks": str(deadlines.chunks),
            "deadlines_missed": str(deadlines.missed),
            "key_patches_without_frame": str(self._observations.unmatched),
            **self._latencies.values(),
        }
        words = self._state if self._policy.deciding else "waiting for a recording"
        return Health(True, words or "demonstrating", values)

    # What `DemonstrationWorker` asks of the other nodes, from its thread.

    def start_episode(self) -> None:
        """Have the objects found and the record begun."""
        self._answered(
            call(self._start, StartEpisode.Request(seed=self._seed), START_TIMEOUT_S, self._ending)
        )

    def stop_episode(self, verdict: Verdict) -> str:
        """End the record; return what it was recorded as."""
        request = StopEpisode.Request(outcome=verdict.value)
        response = self._answered(call(self._stop, request, STOP_TIMEOUT_S, self._ending))
        return str(response.recorded_as)

    def take_over(self) -> None:
        """Begin at the arm's present pose."""
        self._answered(call(self._reset, ResetSafety.Request(), RESET_TIMEOUT_S, self._ending))
        # The demonstration's own limit comes first; this one holds should that thread hang.
        self._policy.run_episode(self._seed, 2.0 * self._limit_s, FIRST_OBSERVATION_S)

    def let_go(self) -> None:
        """Decide no more, and have the arm come to rest."""
        self._policy.pause()
        call(self._rest, ComeToRest.Request(), REST_TIMEOUT_S, self._ending)

    def say(self, words: str) -> None:
        """Tell the operator."""
        self.get_logger().warning(words)

    def _answered(self, response: Any) -> Any:
        if not response.success:
            raise NotReadyError(response.message)
        return response

    def _open_device(self) -> TeleopDevice | None:
        config = load_config(TeleopConfig, Path(self._settings)) if self._settings else TeleopConfig()
        self._config = config.for_keyboard() if self._teleop == KEYBOARD else config
        if self._teleop == EXPERT:
            return None
        device: TeleopDevice = Keyboard() if self._teleop == KEYBOARD else open_spacemouse()
        self.resources.callback(device.close)
        return device

    def _demonstration(self) -> DemonstrationWorker:
        self._limit_s = self._max_duration_s or (
            self._task.max_duration_s if self._device is None else MAX_DURATION_S
        )
        if self._device is None:
            return AutomaticDemonstration(self, self._limit_s, self._task.settle_s, self._ended, self.die)
        buttons, device = OperatorButtons(self._config), self._device

        def pressed(state: RecorderState) -> OperatorCommand | None:
            try:
                reading = device.read()
            except HardwareError:  # said by the motion's state, where it counts
                return None
            self._deadman.publish(Bool(data=reading.is_down(self._config.deadman_button)))
            return buttons.update(reading, state)

        return DemonstrationWorker(self, self._limit_s, pressed, self.die)

    def _publisher(self, topic: str) -> Any:
        return self.create_lifecycle_publisher(ActionChunkMessage, topic, qos.ANSWER)

    def _subscribe(self) -> None:
        self.create_subscription(String, names.RECORDER_STATE, self._recorder_state, qos.KEPT)
        self.create_subscription(SafetyEvent, topics.SAFETY_EVENT, self._safety_event, qos.EVENT)
        self.create_subscription(String, names.KEYS, self._keys, qos.ANSWER)
        if isinstance(self._worker, AutomaticDemonstration):
            done = self._worker.done
            self.create_subscription(Bool, names.TASK_DONE, lambda m: done(m.data), qos.KEPT)
            self.receive(Float64MultiArray, names.SIM_MEASURED, self._take_measured, qos.SENSOR)

    def _source(self, seed: int) -> ActionSource:
        dt_s = 1.0 / self._task.policy.rate_hz
        source: ActionSource
        if self._device is None:
            source = self._expert(seed, dt_s)
        else:
            workspace = self._task.safety.workspace
            source = TeleopSource(self._device, self._config, workspace, dt_s, self._note_state)
        return Demonstrated(source, lambda action: self._send(self._demonstrated, action))

    def _expert(self, seed: int, dt_s: float) -> ExpertSource:
        # Imported here: on a computer at a real robot there is no simulator.
        from glue_bringup.sim.experts import get_expert
        from glue_bringup.sim.tasks import get_task

        task = get_task(self._task.task)
        layout = task.sample_layout(seed)

        def truth() -> object:
            if self._measured is None:
                raise HardwareError(
                    "the expert needs the twin's truth, which nobody publishes; is sim_node running?"
                )
            return task.truth(layout, self._measured)

        return ExpertSource(get_expert(self._task.task), truth, dt_s, self._noise_m, seed)

    def _take_measured(self, message: Float64MultiArray) -> None:
        self._measured = np.array(message.data)

    def _recorder_state(self, message: String) -> None:
        self._worker.recorder_state(RecorderState(message.data))

    def _safety_event(self, message: SafetyEvent) -> None:
        if message.mode == FAULT and self._worker.recording:
            self.say(f"{message.reason}; the episode is a failure, call {names.RECOVER_FROM_ERROR}")
            self._worker.command(OperatorCommand.FAILURE)

    def _cut_short(self, why: str) -> None:
        """End an episode that lost a node on which it depends."""
        self.say(f"{why}; the episode is a failure")
        self._worker.command(OperatorCommand.FAILURE)

    def _keys(self, message: String) -> None:
        key = message.data
        if isinstance(self._device, Keyboard) and self._device.feed(key):
            return
        if key in COMMAND_KEYS:
            self._worker.command(COMMAND_KEYS[key])

    def _note_state(self, stamp_ns: int, state: TeleopState) -> None:
        """Put it on record why the arm moves or not."""
        self._state = state.value
        event = messages.SafetyEvent(stamp_ns, "teleop", state.value)
        self._events.publish(ros_message(messages.safety_event_message(event)))
        if state not in (TeleopState.MOVING, TeleopState.AT_REST):
            self.say(f"the arm does not follow: {state.value}")

    def _publish(self, chunk: ActionChunk) -> None:
        self._send(self._chunks, chunk)

    def _send(self, publisher: Any, chunk: ActionChunk) -> None:
        publisher.publish(ros_message(messages.action_chunk_message(chunk)))

    def _ended(self, how: str | GlueError) -> None:
        if isinstance(how, GlueError):
            self.die(how)
        elif self._end_after:
            self.end(0 if how == "success" else 1)


def main() -> int:
    """Run the node."""
    return run_node(TeleopNode)


if __name__ == "__main__":
    sys.exit(main())
