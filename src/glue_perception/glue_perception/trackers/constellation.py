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
_MIN_FOR_TURN = 5
_MIN_SPREAD_PX = 10.0
_MAX_TURN_PX = 6.0
_SCALE_LIMITS = (0.6, 1.7)


class Constellation:
    """Corners around a point, each with its place relative to it as of when the point was last seen.

    Attributes:
        origin: The point where it was last seen; the model's coordinates are px of that frame.
        place: Where it is taken to be now.
        linear: Turn and scale of its surroundings since.
        carried: Whether it has ever been taken elsewhere.
        model: The corners as of when the point was last seen; later ones as they would have been.
        xy: The corners now.
        home: Where they would be in the episode's first frame, had they always rested.
    """

    def __init__(self, origin: Float[np.ndarray, "2"]) -> None:
        self.origin = self.place = origin.copy()
        self.linear = np.eye(2)
        self.carried = False
        self.model = self.xy = self.home = np.zeros((0, 2))

    def __len__(self) -> int:
        return len(self.xy)

    def stay(self) -> None:
        """Take the point back to where it was last seen."""
        self.place, self.linear, self.carried = self.origin.copy(), np.eye(2), False

    def add(self, xy: Points, home: Points) -> None:
        """Take more corners that were found where the point is taken to be now."""
        model = self.origin + (xy - self.place) @ np.linalg.inv(self.linear).T
        self.model, self.xy = np.vstack([self.model, model]), np.vstack([self.xy, xy])
        self.home = np.vstack([self.home, home])

    def move(self, xy: Points, ok: Bool[np.ndarray, "k"]) -> None:
        """Take the corners' new places; those that are not `ok` are dropped."""
        self.model, self.xy, self.home = self.model[ok], xy[ok], self.home[ok]

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
    the last one. Where enough agree and are far enough apart, turn and scale are fitted to them.

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
    place = xy + (group.origin - model) @ group.linear.T
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
    if np.count_nonzero(inlier) >= _MIN_FOR_TURN:
        _turn(group, model, xy, share, scale)


def _weights(origin: Float[np.ndarray, "2"], votes: Votes, scale: float) -> Float[np.ndarray, "votes"]:
    corner = np.linalg.norm(votes.model - origin, axis=1) / (_NEAR_PX * scale)
    fellow = np.linalg.norm(votes.fellow_model - origin, axis=1) / (_FELLOW_NEAR_PX * scale)
    # The object's own points are surely on it: their say reaches further.
    return np.concatenate([np.exp(-(corner**2) / 2), _FELLOW_WEIGHT * np.exp(-fellow)])


def _turn(
    group: Constellation, model: Points, xy: Points, share: Float[np.ndarray, "votes"], scale: float
) -> None:
    """Fit turn and scale to the votes; kept only if they change the place by little."""
    mean_model, mean_xy = share @ model, share @ xy
    p, q = model - mean_model, xy - mean_xy
    spread = float(share @ np.sum(p * p, axis=1))
    if spread < (_MIN_SPREAD_PX * scale) ** 2:
        return
    cosine = float(share @ np.sum(p * q, axis=1)) / spread
    sine = float(share @ (p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0])) / spread
    linear = np.array([[cosine, -sine], [sine, cosine]])
    place = mean_xy + linear @ (group.origin - mean_model)
    low, high = _SCALE_LIMITS
    near = np.linalg.norm(place - group.place) <= _MAX_TURN_PX * scale
    if near and low <= np.hypot(cosine, sine) <= high:
        group.place = place
        group.linear = 0.7 * group.linear + 0.3 * linear
