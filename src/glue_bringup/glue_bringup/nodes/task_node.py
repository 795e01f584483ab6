"""`task_node`: the action RunTask: finds the objects, starts the policy, waits for the end of the episode."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from action_msgs.msg import GoalStatus
from glue_msgs.action import RunTask
from glue_msgs.msg import KeyPatchArray, SafetyEvent
from glue_msgs.srv import (
    ComeToRest,
    ExtractKeypoints,
    Release,
    ResetSafety,
    StartEpisode,
    StartPolicy,
    StopEpisode,
    StopPolicy,
)
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from std_msgs.msg import Bool

from glue_bringup.loop.control_worker import FAULT
from glue_bringup.loop.peers import EPISODE_OVER_S, gone
from glue_bringup.loop.task_run import EpisodeEnd, EpisodeWatch, TaskRunError
from glue_bringup.nodes import names, parameters, qos
from glue_bringup.nodes.actions import PromptActionClient
from glue_bringup.nodes.calls import call
from glue_bringup.nodes.lifecycle import ShellNode, run_node
from glue_bringup.task_config import load_task
from glue_perception.bags import topics
from glue_perception.errors import NotReadyError

SERVICE_WAIT_S = 60.0
CALL_TIMEOUT_S = 150.0
STOP_TIMEOUT_S = 5.0
RECORD_TIMEOUT_S = 60.0
FEEDBACK_PERIOD_S = 0.2
GRAPH_WAIT_S = 600.0
"""How long run_on_start waits for the other nodes: on a busy computer, or with large weights, they take minutes."""

GRAPH_LOG_S = 10.0
GRAPH_POLL_S = 0.1
POLL_S = 0.02

OFFERED_BY = {
    names.EXTRACT_KEYPOINTS: "perception_node",
    names.RESET_SAFETY: "arm_node",
    names.START_POLICY: "policy_node",
}

R = RunTask.Result


class TaskNode(ShellNode):
    """Runs one episode at a time by the other nodes' services; see RunTask.action for what can go wrong."""

    def __init__(self) -> None:
        super().__init__("task_node")
        self._task_name = parameters.text(
            self, "task", "push_button", "a shipped task, or a task's YAML file"
        )
        self._run_on_start = parameters.switch(self, "run_on_start", False, "run one episode at once")
        self._end_after = parameters.switch(
            self,
            "end_after",
            False,
            "end after the episode of run_on_start: exit code 0 if it succeeded, 1 if not",
        )
        self._seed = parameters.integer(
            self, "seed", 0, 0, 2**31 - 1, "of the policy's noise, for run_on_start"
        )
        self._record = parameters.switch(self, "record", False, "have recorder_node record every episode")
        self._busy = threading.Lock()
        self._done, self._ending = threading.Event(), threading.Event()
        self._tracked_share, self._mode, self._reason = 0.0, "", ""

    def configure(self) -> None:
        """Read the task and connect to the other nodes."""
        self._task = load_task(self._task_name)
        group = ReentrantCallbackGroup()
        self._helpers = {
            name: self.create_client(kind, name, callback_group=group)
            for name, kind in (
                (names.COME_TO_REST, ComeToRest),
                (names.EXTRACT_KEYPOINTS, ExtractKeypoints),
                (names.RESET_SAFETY, ResetSafety),
                (names.RELEASE, Release),
                (names.START_POLICY, StartPolicy),
                (names.STOP_POLICY, StopPolicy),
                (names.START_EPISODE, StartEpisode),
                (names.STOP_EPISODE, StopEpisode),
            )
        }
        self.create_subscription(Bool, names.TASK_DONE, self._task_done, qos.KEPT, callback_group=group)
        self.receive(KeyPatchArray, topics.KEY_PATCHES, self._key_patches, qos.ANSWER)
        self.create_subscription(SafetyEvent, topics.SAFETY_EVENT, self._safety_event, qos.EVENT)
        self._peers = self.watch_others()
        self._server = ActionServer(
            self,
            RunTask,
            names.RUN_TASK,
            self._execute,
            callback_group=group,
            goal_callback=lambda goal: GoalResponse.ACCEPT,
            cancel_callback=lambda goal: CancelResponse.ACCEPT,
        )
        self._own = PromptActionClient(self, RunTask, names.RUN_TASK, callback_group=group)
        for action in (self._server, self._own):
            self.note(action.destroy)

    def activate(self) -> None:
        """Run the first episode, if asked for."""
        if self._run_on_start:
            self._timer = self.create_timer(0.5, self._send_own_goal, callback_group=ReentrantCallbackGroup())

    def _send_own_goal(self) -> None:
        self._timer.cancel()
        try:
            self._wait_for_the_graph()
        except NotReadyError as error:
            if not self._ending.is_set():
                self.die(error)
            return
        goal = RunTask.Goal(task=self._task.task, seed=self._seed)
        self._own.send_goal_async(goal).add_done_callback(self._own_goal_sent)

    def _wait_for_the_graph(self) -> None:
        """Wait for those who are started together with this node; NotReadyError if they do not come."""
        wanted = [*OFFERED_BY, *([names.START_EPISODE] if self._record else [])]
        waits = {name: self._helpers[name].service_is_ready for name in wanted}
        waits[names.RUN_TASK] = self._own.server_is_ready
        deadline_s, silent_until_s = time.monotonic() + GRAPH_WAIT_S, time.monotonic() + GRAPH_LOG_S
        while missing := [name for name, ready in waits.items() if not ready()]:
            now_s = time.monotonic()
            if now_s > silent_until_s:
                self.get_logger().info(f"waiting for {', '.join(missing)}")
                silent_until_s = now_s + GRAPH_LOG_S
            if now_s > deadline_s or self._ending.wait(GRAPH_POLL_S):
                raise NotReadyError(
                    f"{', '.join(missing)}: not there within {GRAPH_WAIT_S:g} s; see /diagnostics"
                )

    def _own_goal_sent(self, future: Any) -> None:
        future.result().get_result_async().add_done_callback(self._own_goal_ended)

    def _own_goal_ended(self, future: Any) -> None:
        answer = future.result()
        if self._end_after:
            # The result of an episode that a defect ended is an empty one, which reads as a success.
            succeeded = (GoalStatus.STATUS_SUCCEEDED, R.SUCCEEDED)
            exit_code = 0 if (answer.status, answer.result.error_code) == succeeded else 1
            # Not at once: the goal's own answers are still under way.
            self.create_timer(0.5, lambda: self.end(exit_code))

    def _task_done(self, message: Bool) -> None:
        (self._done.set if message.data else self._done.clear)()

    def _key_patches(self, message: KeyPatchArray) -> None:
        shares = message.tracked_share
        self._tracked_share = sum(shares) / len(shares) if len(shares) else 0.0

    def _safety_event(self, message: SafetyEvent) -> None:
        self._mode, self._reason = message.mode, message.reason

    def _execute(self, handle: Any) -> RunTask.Result:
        result = R()
        try:
            if not self._busy.acquire(blocking=False):
                raise TaskRunError(R.BUSY, "an episode is running; wait for its end or cancel it")
            try:
                end, result.duration = self._episode(handle)
            finally:
                self._busy.release()
            result.error_code, result.message = end.value, end.words
        except TaskRunError as error:
            result.error_code, result.message = error.code, str(error)
        if result.error_code == R.SUCCEEDED:
            handle.succeed()
            self.get_logger().info(f"{self._task.task}: succeeded after {result.duration:.1f} s")
        elif handle.is_cancel_requested:
            handle.canceled()
        else:
            handle.abort()
            self.get_logger().error(f"{self._task.task}: {result.message}")
        return result

    def _episode(self, handle: Any) -> tuple[EpisodeEnd, float]:
        goal = handle.request
        if goal.task not in ("", self._task.task):
            raise TaskRunError(
                R.UNKNOWN_TASK,
                f"this graph runs {self._task.task}, not {goal.task}; start one with task:={goal.task}",
            )
        max_duration_s = goal.max_duration or self._task.max_duration_s
        self._peers.forget_lost()
        self._handle = handle
        self._feedback(handle, "extracting", 0.0)
        if not self._record:
            self._call(names.EXTRACT_KEYPOINTS, ExtractKeypoints.Request(), R.OBJECTS_NOT_FOUND)
            return self._run(handle, max_duration_s)
        self._call(names.START_EPISODE, StartEpisode.Request(seed=goal.seed), R.OBJECTS_NOT_FOUND)
        end: EpisodeEnd | None = None
        try:
            end, duration_s = self._run(handle, max_duration_s)
        finally:
            self._end_record(end)
        return end, duration_s

    def _run(self, handle: Any, max_duration_s: float) -> tuple[EpisodeEnd, float]:
        self._feedback(handle, "starting", 0.0)
        self._call(names.RESET_SAFETY, ResetSafety.Request(), R.ROBOT_REFUSED)
        # From here on chunks may come, also from a start that is cancelled while it is under way.
        try:
            return self._running_episode(handle, handle.request.seed, max_duration_s)
        finally:
            self._stop()

    def _end_record(self, end: EpisodeEnd | None) -> None:
        """Label the record. A recorder that does not answer is no failure of the task."""
        verdict = StopEpisode.Request
        outcome = verdict.SUCCESS if end is EpisodeEnd.SUCCEEDED else verdict.FAILURE
        try:
            response = call(
                self._helpers[names.STOP_EPISODE], verdict(outcome=outcome), RECORD_TIMEOUT_S, self._ending
            )
        except NotReadyError as error:
            self.get_logger().error(f"the record was not ended: {error}")
            return
        if not response.success:
            self.get_logger().error(f"the record was not ended: {response.message}")

    def _running_episode(self, handle: Any, seed: int, max_duration_s: float) -> tuple[EpisodeEnd, float]:
        start = StartPolicy.Request(seed=seed, max_duration=max_duration_s + self._task.settle_s)
        self._call(names.START_POLICY, start, R.POLICY_FAILED)
        watch = EpisodeWatch(max_duration_s, self._task.settle_s, time.monotonic)
        while (end := watch.end(self._done.is_set(), self._cancelled())) is None:
            self._check()
            self._feedback(handle, "running", watch.elapsed_s)
            asleep_s = time.monotonic()
            time.sleep(FEEDBACK_PERIOD_S)
            self._check_pace(time.monotonic() - asleep_s)
        return end, watch.elapsed_s

    def _stop(self) -> None:
        """End the chunks and the motion. Who does not hear it, as we are gone ourselves, stops by itself."""
        if self._ending.is_set():
            return
        for name, request, node in (
            (names.STOP_POLICY, StopPolicy.Request(), "policy_node"),
            (names.COME_TO_REST, ComeToRest.Request(), "arm_node"),
        ):
            deadline_s = time.monotonic() + STOP_TIMEOUT_S
            future = self._helpers[name].call_async(request)
            while not future.done() and time.monotonic() < deadline_s and node not in self._peers.lost():
                if self._ending.wait(POLL_S):
                    return

    def _cancelled(self) -> bool:
        return bool(self._handle.is_cancel_requested) or self._ending.is_set()

    def _feedback(self, handle: Any, stage: str, elapsed_s: float) -> None:
        handle.publish_feedback(
            RunTask.Feedback(
                stage=stage,
                elapsed=elapsed_s,
                tracked_share=self._tracked_share,
                mode=self._mode,
                reason=self._reason,
            )
        )

    def _call(self, name: str, request: Any, code: int) -> None:
        """Call a service and wait; TaskRunError with `code` if it refuses."""
        client = self._helpers[name]
        node = OFFERED_BY.get(name, "")
        # A service of a killed node is still known for ten seconds; a call to it would never be answered.
        if not self._wait(
            name, lambda: client.service_is_ready() and not self._peers.is_down(node), SERVICE_WAIT_S
        ):
            raise TaskRunError(R.NOT_READY, f"{name} is not there; is the node that offers it running?")
        future = client.call_async(request)
        if not self._wait(name, future.done, CALL_TIMEOUT_S):
            raise TaskRunError(R.NOT_READY, f"{name} did not answer within {CALL_TIMEOUT_S:g} s")
        response = future.result()
        if not response.success:
            raise TaskRunError(code, response.message)

    def _check(self) -> None:
        """TaskRunError if a node is lost or the robot reports a fault."""
        lost = self._peers.lost(EPISODE_OVER_S)
        if lost:
            raise TaskRunError(R.NODE_LOST, f"{gone(lost)}; run the task again once it is back")
        if self._mode == FAULT:
            raise TaskRunError(R.ROBOT_REFUSED, f"{self._reason}; call {names.RECOVER_FROM_ERROR}")

    def _check_pace(self, slept_s: float) -> None:
        """TaskRunError if this process was stopped for so long that the others have ended the episode."""
        # They miss a node within its lease, and no sooner than its last sign of life was due again.
        if slept_s > EPISODE_OVER_S + 0.5 * self.lease_s:
            raise TaskRunError(R.NODE_LOST, f"task_node stood still for {slept_s:.1f} s; run the task again")

    def _wait(self, name: str, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait for a service; return whether it came. TaskRunError if the node ends or the robot fails meanwhile."""
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            self._check()
            if self._cancelled():
                raise TaskRunError(R.CANCELED, EpisodeEnd.CANCELED.words)
            time.sleep(POLL_S)
            if time.monotonic() > deadline_s:
                return False
        return True

    def close(self) -> None:
        """Let a running episode end: its thread still uses the node's topics."""
        self._ending.set()
        if self._busy.acquire(timeout=STOP_TIMEOUT_S):
            self._busy.release()
        super().close()


def main() -> int:
    """Run the node."""
    return run_node(TaskNode, niceness=5)


if __name__ == "__main__":
    sys.exit(main())
