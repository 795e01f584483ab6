"""`policy_node`: frames, key-patches and robot states in, action chunks out, while an episode runs."""

from __future__ import annotations

import sys
from pathlib import Path

from glue_msgs.msg import ActionChunk as ActionChunkMessage
from glue_msgs.msg import ChunkExecution
from glue_msgs.srv import StartPolicy, StopPolicy
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup

from glue_bringup.loop.bag_task import frozen_of, task_to_replay
from glue_bringup.loop.observation_join import ObservationJoin
from glue_bringup.loop.pilot import EXPERT, Pilot
from glue_bringup.loop.policy_worker import PolicyWorker
from glue_bringup.loop.recent_latencies import RecentLatencies
from glue_bringup.nodes import names, parameters, qos
from glue_bringup.nodes.lifecycle import Health, ShellNode, answer, run_node
from glue_bringup.nodes.observation_input import ObservationInput
from glue_bringup.task_config import load_task
from glue_perception.bags import topics
from glue_perception.bags.messages import action_chunk_message, nanoseconds, stamp_ns_of
from glue_perception.bags.reader import BagReader
from glue_perception.errors import ConfigError
from glue_perception.ros_conversions import ros_message
from glue_perception.types import ActionChunk

FIRST_CHUNK_TIMEOUT_S = 120.0


class PolicyNode(ShellNode):
    """Inference runs in the worker's thread; image and key-patches are joined by exact stamp before."""

    def __init__(self) -> None:
        super().__init__("policy_node")
        self._task_name = parameters.text(
            self, "task", "push_button", "a shipped task, or a task's YAML file"
        )
        self._checkpoint = parameters.text(
            self, "checkpoint", "", "checkpoint directory or name of a shipped one; empty: the task's own"
        )
        self._replay = parameters.text(
            self,
            "replay",
            "",
            "directory of the bag that is being replayed: decide as its record says; empty: live",
        )
        self._latencies = RecentLatencies()

    def configure(self) -> None:
        """Load the checkpoint."""
        frozen: dict[int, int] | None = None
        if self._replay:
            with BagReader(Path(self._replay)) as bag:
                task, frozen = task_to_replay(bag, self._task_name), frozen_of(bag)
                recorded = bag.metadata.get("policy", "")
                self._checkpoint = self._checkpoint or (recorded if recorded != EXPERT else "")
        else:
            task = load_task(self._task_name)
        if self._checkpoint == EXPERT:
            raise ConfigError(
                "the scripted expert needs the simulator's truth; run it by `glue sim --policy expert`"
            )
        pilot = Pilot(task, self._checkpoint or None)
        if pilot.needs_depth:
            raise ConfigError(
                f"the policy {pilot.name} reads point clouds; the graph carries colour images only"
            )
        self._max_duration_s = task.max_duration_s + task.settle_s
        self._worker = PolicyWorker(
            lambda seed: pilot.source(seed, lambda: None, self._latencies, frozen),
            task.policy.rate_hz,
            self._publish,
            self.watch_others(),
            lambda words: self.get_logger().warning(f"no more chunks: {words}"),
            self._latencies,
            self.die,
        )
        self._chunks = self.create_lifecycle_publisher(ActionChunkMessage, topics.ACTION_CHUNK, qos.ANSWER)
        self.resources.callback(self._worker.stop)
        # In a bag a robot state carries the frame's stamp.
        join = ObservationJoin(0 if self._replay else None)
        self._observations = ObservationInput(self, self._worker.offer, join)
        self.receive(ChunkExecution, names.CHUNK_EXECUTION, self._execution, qos.ANSWER)
        # A group each: a stop that waited for a start that hangs would come after the next start, and end that.
        for kind, name, work in (
            (StartPolicy, names.START_POLICY, self._start),
            (StopPolicy, names.STOP_POLICY, self._stop),
        ):
            self.create_service(kind, name, work, callback_group=MutuallyExclusiveCallbackGroup())

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
        """Return how the policy fares."""
        deadlines = self._worker.deadlines
        values = {
            "chunks": str(deadlines.chunks),
            "deadlines_missed": str(deadlines.missed),
            "key_patches_without_frame": str(self._observations.unmatched),
            **self._latencies.values(),
        }
        return Health(True, "deciding" if self._worker.deciding else "waiting for an episode", values)

    def _execution(self, message: ChunkExecution) -> None:
        now_ns = stamp_ns_of(message)
        if message.status == ChunkExecution.IN_FORCE:
            self._worker.note_in_force(nanoseconds(message.chunk_stamp), now_ns)
        else:
            self._worker.note_held(now_ns)

    def _start(self, request: StartPolicy.Request, response: StartPolicy.Response) -> StartPolicy.Response:
        timeout_s = request.timeout or FIRST_CHUNK_TIMEOUT_S
        duration_s = request.max_duration or self._max_duration_s
        return answer(response, lambda: self._worker.run_episode(request.seed, duration_s, timeout_s))

    def _stop(self, request: StopPolicy.Request, response: StopPolicy.Response) -> StopPolicy.Response:
        return answer(response, self._worker.pause)

    def _publish(self, chunk: ActionChunk) -> None:
        self._chunks.publish(ros_message(action_chunk_message(chunk)))


def main() -> int:
    """Run the node."""
    return run_node(PolicyNode, niceness=3)


if __name__ == "__main__":
    sys.exit(main())
