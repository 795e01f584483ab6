"""The network behind a learnt tracker: windows of frames in, one answer per window out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float, Int, UInt8

from glue_perception.errors import InvalidValueError


@dataclass(frozen=True, eq=False)
class WindowQueries:
    """Points that begin in a window. One that is already followed begins anew and forgets how it looked.

    Attributes:
        index: Which points, 0..num_points-1, each at most once.
        frame_index: In which frame of the window each begins, 0 for the window's oldest.
        xy_px: Where it is there, in px of the frames as given.
    """

    index: Int[np.ndarray, "k"]
    frame_index: Int[np.ndarray, "k"]
    xy_px: Float[np.ndarray, "k 2"]


@dataclass(frozen=True, eq=False)
class WindowAnswer:
    """Where the points are in a window's newest frame.

    Attributes:
        xy_px: In px of the frames as given; for hidden points the network's estimate.
        visibility: Probability that the point is not hidden, 0..1.
        confidence: Probability that the place is right, 0..1; ones from a network that does not say.

    Raises:
        InvalidValueError: wrong shapes, values that are not finite, or probabilities outside 0..1.
    """

    xy_px: Float[np.ndarray, "n 2"]
    visibility: Float[np.ndarray, "n"]
    confidence: Float[np.ndarray, "n"]

    def __post_init__(self) -> None:
        n = len(self.xy_px)
        shapes = [self.xy_px.shape, self.visibility.shape, self.confidence.shape]
        if shapes != [(n, 2), (n,), (n,)]:
            raise InvalidValueError(f"the network's answer must have shapes (n, 2), (n,), (n,), not {shapes}")
        if not all(np.isfinite(part).all() for part in (self.xy_px, self.visibility, self.confidence)):
            raise InvalidValueError("the network's answer holds NaN or infinite values")
        chances = np.concatenate([self.visibility, self.confidence])
        if np.any((chances < 0) | (chances > 1)):
            raise InvalidValueError("the network's probabilities must lie in 0..1")


class WindowNetwork(Protocol):
    """Follows points through frames that it is given window by window, and keeps its own state between windows.

    The first window after `begin` holds `window_frames` frames. Every later one moves on by `step_frames`: it repeats
    the last `window_frames - step_frames` frames of the one before and adds new ones. The network may take the frames
    as equally spaced; where it was too slow for all of them, evenly chosen ones are left out and never come.
    A network that takes one frame at a time has window_frames = step_frames = 1.

    All calls come from one thread, which may be another than the one that made the network. A call that raises ends
    the sequence; the next call is `begin`.
    """

    @property
    def window_frames(self) -> int:
        """Frames in a window, at least 1."""
        ...

    @property
    def step_frames(self) -> int:
        """New frames in every window but the first, 1..window_frames."""
        ...

    def begin(self, num_points: int) -> None:
        """Forget everything and expect the first window of `num_points` points."""
        ...

    def track(
        self, images: Sequence[UInt8[np.ndarray, "height width 3"]], queries: WindowQueries
    ) -> WindowAnswer:
        """Return where all points are in the newest image of a window.

        Args:
            images: The window, oldest first; RGB, all of one size.
            queries: Points that begin in it: in the first window each of them, later some or none, and those in one
                of the new frames.
        """
        ...
