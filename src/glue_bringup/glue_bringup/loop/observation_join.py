"""Frame, key-patches and robot state of one instant, from three streams that arrive when they like."""

from __future__ import annotations

from collections import deque

from glue_bringup.loop.perceiver import state_at
from glue_perception.types import CameraFrame, KeyPatches, Observation, RobotState

MAX_FRAMES = 30
"""A second of frames: key-patches later than that are of no use to the policy."""

MAX_STATES = 200


class ObservationJoin:
    """Joins key-patches with the frame of exactly their stamp and with the robot state nearest to it. One thread.

    Args:
        max_state_gap_ns: A state further from the frame than this is not used; None: any is.
    """

    def __init__(self, max_state_gap_ns: int | None = None) -> None:
        self._max_state_gap_ns = max_state_gap_ns
        self._frames: deque[CameraFrame] = deque(maxlen=MAX_FRAMES)
        self._patches: deque[KeyPatches] = deque(maxlen=MAX_FRAMES)
        self._states: deque[RobotState] = deque(maxlen=MAX_STATES)
        self.unmatched = 0
        """Key-patches whose frame never came."""

    def state(self, state: RobotState) -> None:
        """Take a robot state."""
        self._states.append(state)

    def frame(self, frame: CameraFrame) -> Observation | None:
        """Take a frame; return the observation if its key-patches were here already."""
        self._frames.append(frame)
        return self._join()

    def key_patches(self, patches: KeyPatches) -> Observation | None:
        """Take key-patches; return the observation if their frame is here."""
        self._patches.append(patches)
        return self._join()

    def _join(self) -> Observation | None:
        """Return the newest observation that is complete, and forget all that is older."""
        if not self._states:
            return None
        frames = {frame.stamp_ns: frame for frame in self._frames}
        for patches in reversed(self._patches):
            frame = frames.get(patches.stamp_ns)
            if frame is not None:
                nearest = min(self._states, key=lambda state: abs(state.stamp_ns - frame.stamp_ns))
                gap_ns = abs(nearest.stamp_ns - frame.stamp_ns)
                if self._max_state_gap_ns is not None and gap_ns > self._max_state_gap_ns:
                    continue
                self._forget(patches.stamp_ns)
                return Observation(frame, patches, state_at(nearest, frame.stamp_ns))
        return None

    def _forget(self, stamp_ns: int) -> None:
        while self._frames and self._frames[0].stamp_ns <= stamp_ns:
            self._frames.popleft()
        while self._patches and self._patches[0].stamp_ns <= stamp_ns:
            self.unmatched += self._patches[0].stamp_ns < stamp_ns
            self._patches.popleft()
