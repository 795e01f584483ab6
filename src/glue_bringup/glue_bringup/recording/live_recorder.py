"""From streams that arrive when they like to an episode's record, in which all belongs to a frame."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from glue_bringup.loop.perceiver import state_at
from glue_bringup.recording.demonstration_recorder import (
    DemonstrationRecorder,
    RecordedEpisode,
    RecorderState,
)
from glue_perception.errors import ConfigError, HardwareError, NotReadyError
from glue_perception.types import ActionChunk, CameraFrame, KeyPatches, RobotState

RECENT_FRAMES = 45
"""A second and a half: more than key-patches are late once objects are being tracked."""

FIRST_FRAMES = 60
"""Two seconds from when the objects are asked for: the frame in which they are found is one of these, however long
the networks then take. 55 MB at 640 x 480."""

STATES = 400

FIRST_STATE_S = 60.0
"""How long the first robot state may take: of nodes that are started together, the arm's is among the last."""

FIRST_FRAME_S = 0.5
"""How long the frame in which the objects were found may take: it came another way than the word of them."""

ATTEMPTS = 3
"""To find the objects: images are best effort, and just that frame may be lost on the way here."""


class LiveRecorder:
    """Records every frame that went through perception, with its key-patches and the robot's state at its capture.

    As in the local loop, a record begins with the frame in which the objects were found, so that a replay finds them
    in the same. All methods may be called from any thread; `begin`, `stop` and `finish` from one at a time.

    Args:
        recorder: Gets what was joined; its audit gets all of it.
        first_state_s: How long `begin` waits for the first robot state.
    """

    def __init__(self, recorder: DemonstrationRecorder, first_state_s: float = FIRST_STATE_S) -> None:
        self._recorder = recorder
        self._first_state_s, self._state_came = first_state_s, threading.Event()
        self._lock = threading.Lock()
        self._frame_came = threading.Condition(self._lock)
        self._recent: deque[CameraFrame] = deque(maxlen=RECENT_FRAMES)
        self._first: list[CameraFrame] | None = None
        self._states: deque[RobotState] = deque(maxlen=STATES)
        self._waiting: deque[KeyPatches] = deque(maxlen=RECENT_FRAMES)
        self._newest_ns = -1
        self.unmatched = 0
        """Key-patches of this episode whose frame never came: it is not in the record."""

    @property
    def state(self) -> RecorderState:
        """What it does now."""
        return self._recorder.state

    def status(self) -> str:
        """Return one line for the operator."""
        return self._recorder.status()

    def begin(
        self, find_objects: Callable[[], KeyPatches], metadata: Mapping[str, str], name: str = ""
    ) -> Path:
        """Have the objects found, and record from that frame on.

        Args:
            find_objects: Returns the key-patches of the frame in which it found them.
            metadata: Of the bag.
            name: Of the bag's folder; empty for the next number.

        Returns:
            The bag.

        Raises:
            ConfigError: `name` is no name of a folder.
            NotReadyError: the last episode has no verdict yet.
            HardwareError: the frame or the robot's state did not come here.
            GlueError: `find_objects` failed; nothing is recorded then.
        """
        if name and not re.fullmatch(r"\w[\w.-]*", name):
            raise ConfigError(f"an episode's name is letters, digits, '-', '_' and '.', not {name!r}")
        if self._recorder.state is not RecorderState.IDLE:
            raise NotReadyError(
                f"an episode is {self._recorder.state.value}; give its verdict before the next one starts"
            )
        self._state_came.wait(self._first_state_s)
        if not self._states:
            raise HardwareError(
                f"no robot state has come for {self._first_state_s:g} s; is arm_node running?"
            )
        with self._lock:
            self._first = []
            self._waiting.clear()
        try:
            for _ in range(ATTEMPTS):
                path = self._begin(find_objects(), metadata, name)
                if path is not None:
                    return path
        finally:
            with self._lock:
                self._first = None
        raise HardwareError(
            "the camera's frame in which the objects were found did not come to the recorder; is the computer too "
            "busy?"
        )

    def _begin(self, patches: KeyPatches, metadata: Mapping[str, str], name: str) -> Path | None:
        """Begin the record with the frame of these key-patches; None if it does not come."""
        with self._frame_came:
            self._frame_came.wait_for(lambda: self._kept(patches.stamp_ns) is not None, FIRST_FRAME_S)
            frame = self._kept(patches.stamp_ns)
            if frame is None:
                self._first = []
                return None
            path = self._recorder.start(metadata, name)
            self._newest_ns, self.unmatched = -1, 0
            self._keep(frame, patches)
            self._join()  # what was tracked while the answer was under way
        return path

    def _kept(self, stamp_ns: int) -> CameraFrame | None:
        kept = (*(self._first or ()), *self._recent)
        return next((frame for frame in kept if frame.stamp_ns == stamp_ns), None)

    def stop(self) -> None:
        """Record nothing more; the episode waits for its verdict."""
        self._recorder.stop()

    def finish(self, verdict: Callable[[DemonstrationRecorder], RecordedEpisode]) -> RecordedEpisode:
        """End the episode by one of the recorder's verdicts; NotReadyError if there is none.

        The bag says how many frames went through perception and did not come here, as `frames_missed`: with such
        gaps a replay tracks otherwise.
        """
        self._recorder.say({"frames_missed": str(self.unmatched)})
        return verdict(self._recorder)

    def close(self) -> None:
        """Abort an episode that has no verdict; `begin` waits no longer."""
        self._state_came.set()
        self._recorder.close()

    def frame(self, frame: CameraFrame) -> None:
        """Take a frame."""
        with self._lock:
            self._recent.append(frame)
            if self._first is not None and len(self._first) < FIRST_FRAMES:
                self._first.append(frame)
                self._frame_came.notify_all()
            self._join()

    def robot_state(self, state: RobotState) -> None:
        """Take a state as measured."""
        with self._lock:
            self._states.append(state)
        self._state_came.set()

    def key_patches(self, patches: KeyPatches) -> None:
        """Take the key-patches of a frame."""
        with self._lock:
            if self._first is not None or self._recorder.state is RecorderState.RECORDING:
                self._waiting.append(patches)
                self._join()

    def chunk(self, chunk: ActionChunk) -> None:
        """Take what is to be executed."""
        self._recorder.chunk(chunk)

    def demonstrated_action(self, action: ActionChunk) -> None:
        """Take what the demonstrator commanded."""
        self._recorder.demonstrated_action(action)

    def target(self, stamp_ns: int, T_base_ee: Float[np.ndarray, "4 4"]) -> None:
        """Take a pose handed to the arm."""
        self._recorder.target(stamp_ns, T_base_ee)

    def safety_event(self, stamp_ns: int, mode: str, reason: str) -> None:
        """Take a decision of the safety supervisor."""
        self._recorder.safety_event(stamp_ns, mode, reason)

    def _join(self) -> None:
        """Record the key-patches whose frame is here, in order; the caller holds the lock."""
        if self._recorder.state is not RecorderState.RECORDING:
            return
        while self._waiting and self._recent:
            patches = self._waiting[0]
            frame = next((f for f in self._recent if f.stamp_ns == patches.stamp_ns), None)
            if frame is None and patches.stamp_ns > self._recent[-1].stamp_ns:
                return  # it may still come
            self._waiting.popleft()
            if frame is not None:
                self._keep(frame, patches)
            elif patches.stamp_ns > self._newest_ns:
                self.unmatched += 1

    def _keep(self, frame: CameraFrame, patches: KeyPatches) -> None:
        if frame.stamp_ns <= self._newest_ns:
            return  # of before the episode, or the first one again
        self._newest_ns = frame.stamp_ns
        state = min(self._states, key=lambda s: abs(s.stamp_ns - frame.stamp_ns))
        self._recorder.frame(frame)
        self._recorder.robot_state(state_at(state, frame.stamp_ns), measured_ns=state.stamp_ns)
        self._recorder.key_patches(patches)
