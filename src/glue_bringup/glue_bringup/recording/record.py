"""What takes an episode's messages: a bag's recorder, or one that is told when to record."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from jaxtyping import Float

from glue_perception.types import ActionChunk, CameraFrame, KeyPatches, RobotState


class Record(Protocol):
    """Takes messages from any thread; see `EpisodeRecorder` for which calls may wait or raise."""

    def frame(self, frame: CameraFrame) -> None:
        """Add a frame."""
        ...

    def robot_state(self, state: RobotState, measured_ns: int | None = None) -> None:
        """Add the state that goes with a frame, and say when it was measured."""
        ...

    def key_patches(self, patches: KeyPatches) -> None:
        """Add the key-patches of a frame."""
        ...

    def chunk(self, chunk: ActionChunk) -> None:
        """Add what is to be executed."""
        ...

    def demonstrated_action(self, action: ActionChunk) -> None:
        """Add what the demonstrator commanded, a chunk of one action."""
        ...

    def target(self, stamp_ns: int, T_base_ee: Float[np.ndarray, "4 4"]) -> None:
        """Add a pose handed to the arm; never waits or raises."""
        ...

    def safety_event(self, stamp_ns: int, mode: str, reason: str) -> None:
        """Add a decision of the safety supervisor; never waits or raises."""
        ...
