"""The corners around one point, and the place for it that most of those agree on that have moved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

Points = Float[np.ndarray, "k 2"]

_NEAR_PX = 18.0
_FELLOW_WEIGHT = 0.5
_FELLOW_NEAR_PX = 36.0
_AGREE_PX = 1.5
_AGREE_SHARE = 0.1
_AGREE_UP_TO_PX = 40.0
_STEP_PX = 12.0
_INLIER = 0.3
_LEAST_VOTES, _LEAST_WEIGHT = 2, 0.5
PROVEN_FRAMES = 5
"""For so long a corner has to stand still relative to a point before it has a say in where that is."""


class Constellation:
    """Corners around a point, each with its place relative to it as of when the point was last seen.

    Attributes:
        origin: The point where it was last seen; the model's coordinates are px of that frame.
        place: Where it is taken to be now.
        carried: Whether it has ever been taken elsewhere.
        model: The corners as of when the point was last seen; later ones as they would have been.
        xy: The corners now.
        home: Where they would be in the episode's first frame, had they always rested.
        looks: How they looked when they were taken.
        proven: Which of them have kept their place relative to the point long enough to have a say.
    """

    def __init__(self, origin: Float[np.ndarray, "2"]) -> None:
        self.origin = self.place = origin.copy()
        self.carried = False
        self.model = self.xy = self.home = np.zeros((0, 2))
        self.looks = np.zeros((0, 0))
        self.proven, self._fixed_frames = np.zeros(0, bool), np.zeros(0, int)

    def __len__(self) -> int:
        return len(self.xy)

    def stay(self) -> None:
        """Take the point back to where it was last seen."""
        self.place, self.carried = self.origin.copy(), False

    def add(self, xy: Points, home: Points, looks: Float[np.ndarray, "k pixels"], proven: bool) -> None:
        """Take more corners that were found where the point is taken to be now."""
        model = self.origin + xy - self.place
        self.looks = np.vstack([self.looks, looks]) if len(self) else looks
        self.model, self.xy = np.vstack([self.model, model]), np.vstack([self.xy, xy])
        self.home = np.vstack([self.home, home])
        self.proven = np.concatenate([self.proven, np.full(len(xy), proven)])
        self._fixed_frames = np.concatenate([self._fixed_frames, np.zeros(len(xy), int)])

    def move(self, xy: Points, ok: Bool[np.ndarray, "k"]) -> None:
        """Take the corners' new places; those that are not `ok` are dropped."""
        self.model, self.xy, self.home, self.looks = self.model[ok], xy[ok], self.home[ok], self.looks[ok]
        self.proven, self._fixed_frames = self.proven[ok], self._fixed_frames[ok]

    def prove(self, tolerance_px: float) -> None:
        """Let corners have a say that have stood still relative to the point for some frames; drop what passes by.

        A hand that holds the thing has come to rest at it before it takes it away; an arm that passes has not.
        """
        vote = self.xy + self.origin - self.model
        fixed = np.linalg.norm(vote - self.place, axis=1) <= tolerance_px
        self._fixed_frames = self._fixed_frames + 1
        self.proven = self.proven | (fixed & (self._fixed_frames >= PROVEN_FRAMES))
        self.move(self.xy, fixed | self.proven)

    def keep_near(self, radius_px: float) -> None:
        """Drop corners that have nothing to do with the point any more."""
        near = np.linalg.norm(self.xy - self.place, axis=1) <= radius_px
        self.move(self.xy, near)


@dataclass(frozen=True, eq=False)
class Votes:
    """What has moved: corners and points of the same object, each as it was (`model`) and as it is (`xy`)."""

    model: Points
    xy: Points
    fellow_model: Points
    fellow_xy: Points


def agreed_place(group: Constellation, votes: Votes, scale: float) -> None:
    """Move `group` to the place that most votes agree on; where they do not, it stays.

    Every vote is the place at which the point is if it is fixed to what votes. Near ones count more, and places near
    the last one. Turn and scale are left to that: fitted to what is around a point, they run away within seconds.

    Args:
        group: Is moved.
        votes: What has moved around the point.
        scale: Rows of the image / 480.
    """
    model = np.vstack([votes.model, votes.fellow_model])
    xy = np.vstack([votes.xy, votes.fellow_xy])
    if len(xy) < _LEAST_VOTES:
        return
    weight = _weights(group.origin, votes, scale)
    place = xy + group.origin - model
    travelled = np.linalg.norm(xy - model, axis=1)
    tolerance = _AGREE_PX * scale + _AGREE_SHARE * np.minimum(travelled, _AGREE_UP_TO_PX * scale)
    apart = np.linalg.norm(place[:, None] - place[None], axis=2)
    agreement = np.exp(-((apart / tolerance[:, None]) ** 2) / 2)
    support = agreement @ weight
    step = np.linalg.norm(place - group.place, axis=1)
    best = int(np.argmax(support * np.exp(-((step / (_STEP_PX * scale)) ** 2) / 2)))
    inlier = agreement[best] > _INLIER
    if np.count_nonzero(inlier) < _LEAST_VOTES or support[best] < _LEAST_WEIGHT:
        return
    share = agreement[best] * weight
    share /= share.sum()
    group.place, group.carried = share @ place, True


def _weights(origin: Float[np.ndarray, "2"], votes: Votes, scale: float) -> Float[np.ndarray, "votes"]:
    corner = np.linalg.norm(votes.model - origin, axis=1) / (_NEAR_PX * scale)
    fellow = np.linalg.norm(votes.fellow_model - origin, axis=1) / (_FELLOW_NEAR_PX * scale)
    # The object's own points are surely on it: their say reaches further.
    return np.concatenate([np.exp(-(corner**2) / 2), _FELLOW_WEIGHT * np.exp(-fellow)])
