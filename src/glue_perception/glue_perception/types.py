"""The waist: the values that components hand to each other.

All are frozen and validated when built, hold read-only numpy arrays, know neither ROS nor torch, and carry
their units in their names. Frames: `base` is the robot's base (panda_link0), `ee` the tool centre point
(panda_hand_tcp); `T_a_b` maps coordinates in b to coordinates in a. Pixels are (x right, y down), the centre of
the top-left pixel is (0, 0). Time is integer nanoseconds of one host clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from glue_perception.errors import InvalidValueError

GRID_SIZE = 28
"""Key-patches live on a 28 x 28 grid over the whole image (paper, III-C 2)."""

NUM_JOINTS = 7

_RGB_REMEDY = "; give 8-bit RGB: repeat a grey channel three times, drop an alpha channel, scale it to 0..255"
_INTRINSICS_REMEDY = "; calibrate the camera, or assume K with intrinsics_from_field_of_view"

POSE_TOLERANCE = 1e-4
"""How far T_base_ee's rotation may be from orthonormal."""

_IDENTITY = np.eye(3)


class TrackHealth(IntEnum):
    """What is known of one key-patch now.

    TRACKED: seen in this frame. OCCLUDED: hidden, its place is a guess. LOST: gone; to be detected again.
    """

    TRACKED = 0
    OCCLUDED = 1
    LOST = 2


def _array(
    owner: str, name: str, value: Any, dtype: Any, shape: tuple[int | str, ...], remedy: str = ""
) -> np.ndarray:
    """Return a read-only array of `dtype`, or raise InvalidValueError saying what was found and the remedy."""
    # The texts are made where they are needed: the control loop builds hundreds of these values per second.
    array = np.asarray(value)
    if array.shape != shape and not _fits(array.shape, shape):
        raise InvalidValueError(
            f"{owner}.{name} must be {_expected(dtype, shape)}, but its shape is {list(array.shape)}{remedy}"
        )
    if array.dtype != dtype:
        if not np.can_cast(array.dtype, dtype, casting="same_kind"):
            raise InvalidValueError(
                f"{owner}.{name} must be {_expected(dtype, shape)}, but its dtype is {array.dtype.name}{remedy}"
            )
        array = array.astype(dtype)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InvalidValueError(
            f"{owner}.{name} holds NaN or infinite values{remedy or '; they must be finite'}"
        )
    if array.flags.writeable:
        # A frame is large and its maker hands it over; everything else is copied so that no alias can change it.
        array = array.view() if array.nbytes > 65_536 else array.copy()
        array.flags.writeable = False
    return array


def _fits(have: tuple[int, ...], want: tuple[int | str, ...]) -> bool:
    """Return whether a shape is the wanted one; a name stands for any size."""
    return len(have) == len(want) and all(
        isinstance(n, str) or size == n for size, n in zip(have, want, strict=True)
    )


def _expected(dtype: Any, shape: tuple[int | str, ...]) -> str:
    return f"{np.dtype(dtype).name}[{' '.join(str(n) for n in shape)}]"


def _is_rotation(matrix: Float[np.ndarray, "3 3"]) -> bool:
    if np.abs(matrix @ matrix.T - _IDENTITY).max() > POSE_TOLERANCE:
        return False
    # Of an orthonormal matrix only the determinant's sign is open; numpy's own takes ten times as long.
    (a, b, c), (d, e, f), (g, h, i) = matrix.tolist()
    return bool(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g) > 0.0)


def _set(obj: object, name: str, value: Any) -> None:
    object.__setattr__(obj, name, value)


def _check_stamp(owner: str, stamp_ns: Any) -> int:
    return _check_ns(owner, "stamp_ns", stamp_ns)


def _check_ns(owner: str, name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
        raise InvalidValueError(f"{owner}.{name} must be a non-negative integer, not {value!r}")
    return int(value)


@dataclass(frozen=True, eq=False)
class CameraFrame:
    """One RGB image with the time of its capture.

    Attributes:
        stamp_ns: Capture time, host clock.
        frame_id: Optical frame, e.g. camera_color_optical_frame.
        rgb: Colour image, 0..255. A large array is not copied: its maker must not write to it again.
        intrinsics: Pinhole matrix K in px; identity-like placeholder values are the maker's business.
        depth_m: Depth aligned to rgb in metres, 0 where unknown, or None.

    Raises:
        InvalidValueError: wrong shape or dtype, empty image, non-finite or non-positive focal length.
    """

    stamp_ns: int
    frame_id: str
    rgb: UInt8[np.ndarray, "height width 3"]
    intrinsics: Float[np.ndarray, "3 3"]
    depth_m: Float[np.ndarray, "height width"] | None = None

    def __post_init__(self) -> None:
        _set(self, "stamp_ns", _check_stamp("CameraFrame", self.stamp_ns))
        rgb = _array("CameraFrame", "rgb", self.rgb, np.uint8, ("height", "width", 3), _RGB_REMEDY)
        _set(self, "rgb", rgb)
        if 0 in self.rgb.shape:
            raise InvalidValueError(f"CameraFrame.rgb is empty: shape {list(self.rgb.shape)}")
        K = _array("CameraFrame", "intrinsics", self.intrinsics, np.float64, (3, 3), _INTRINSICS_REMEDY)
        _set(self, "intrinsics", K)
        if self.intrinsics[0, 0] <= 0 or self.intrinsics[1, 1] <= 0:
            raise InvalidValueError(
                "CameraFrame.intrinsics must have positive focal lengths, but fx, fy are "
                f"{self.intrinsics[0, 0]:g}, {self.intrinsics[1, 1]:g}{_INTRINSICS_REMEDY}"
            )
        if self.depth_m is not None:
            depth = _array("CameraFrame", "depth_m", self.depth_m, np.float32, self.rgb.shape[:2])
            _set(self, "depth_m", depth)

    @property
    def width_px(self) -> int:
        """Image width in pixels."""
        return int(self.rgb.shape[1])

    @property
    def height_px(self) -> int:
        """Image height in pixels."""
        return int(self.rgb.shape[0])


@dataclass(frozen=True, eq=False)
class Detection:
    """One object found for one text query.

    Attributes:
        query: The text that was looked for.
        box_xyxy_px: Left, top, right, bottom; right and bottom exclusive.
        score: 0..1, comparable within one detector only.
    """

    query: str
    box_xyxy_px: Float[np.ndarray, "4"]
    score: float

    def __post_init__(self) -> None:
        _set(self, "box_xyxy_px", _array("Detection", "box_xyxy_px", self.box_xyxy_px, np.float64, (4,)))
        x0, y0, x1, y1 = self.box_xyxy_px
        if x1 <= x0 or y1 <= y0:
            raise InvalidValueError(
                f"Detection.box_xyxy_px of {self.query!r} is empty: {self.box_xyxy_px.tolist()}"
            )
        if not 0.0 <= self.score <= 1.0:
            raise InvalidValueError(f"Detection.score must lie in 0..1, not {self.score}")


@dataclass(frozen=True, eq=False)
class Keypoints:
    """The points found once per episode in its first frame (paper, III-B).

    Attributes:
        xy_px: Position in the first frame.
        query_index: Which text query each belongs to.
        cluster_index: Which K-means cluster it stands for, 0..N-1.
    """

    xy_px: Float[np.ndarray, "n 2"]
    query_index: Int[np.ndarray, "n"]
    cluster_index: Int[np.ndarray, "n"]

    def __post_init__(self) -> None:
        _set(self, "xy_px", _array("Keypoints", "xy_px", self.xy_px, np.float64, ("n", 2)))
        n = len(self.xy_px)
        if n == 0:
            raise InvalidValueError("Keypoints must hold at least one point; the masks gave none")
        _set(self, "query_index", _array("Keypoints", "query_index", self.query_index, np.int64, (n,)))
        _set(self, "cluster_index", _array("Keypoints", "cluster_index", self.cluster_index, np.int64, (n,)))

    def __len__(self) -> int:
        return len(self.xy_px)


@dataclass(frozen=True, eq=False)
class PointTracks:
    """Where the keypoints are in one frame, as the tracker says.

    Attributes:
        stamp_ns: Stamp of the frame that the answer is about.
        xy_px: Position; for a hidden point the last or extrapolated one.
        visible: Whether the tracker sees the point in this frame.
        confidence: 0..1.
        result_age_ns: How much older than `stamp_ns` the newest frame is that the tracker's network has seen. 0 for
            trackers that look at every frame; a windowed one carries its last answer forward and says so here.
        round_trip_px: How far from its start a point ends when it is tracked to this frame and back, or None if the
            tracker does not work it out.
        first_similarity: 0..1, how like the point looks to what it looked like when it was chosen, or None if the
            tracker does not compare.

    Raises:
        InvalidValueError: wrong shapes, NaN, or a negative age.
    """

    stamp_ns: int
    xy_px: Float[np.ndarray, "n 2"]
    visible: Bool[np.ndarray, "n"]
    confidence: Float[np.ndarray, "n"]
    result_age_ns: int = 0
    round_trip_px: Float[np.ndarray, "n"] | None = None
    first_similarity: Float[np.ndarray, "n"] | None = None

    def __post_init__(self) -> None:
        _set(self, "stamp_ns", _check_stamp("PointTracks", self.stamp_ns))
        _set(self, "xy_px", _array("PointTracks", "xy_px", self.xy_px, np.float64, ("n", 2)))
        n = len(self.xy_px)
        _set(self, "visible", _array("PointTracks", "visible", self.visible, np.bool_, (n,)))
        _set(self, "confidence", _array("PointTracks", "confidence", self.confidence, np.float64, (n,)))
        _set(self, "result_age_ns", _check_ns("PointTracks", "result_age_ns", self.result_age_ns))
        for name in ("round_trip_px", "first_similarity"):
            if getattr(self, name) is not None:
                _set(self, name, _array("PointTracks", name, getattr(self, name), np.float64, (n,)))

    def __len__(self) -> int:
        return len(self.xy_px)


@dataclass(frozen=True, eq=False)
class KeyPatches:
    """The tracked cells of the 28 x 28 grid in one frame (paper, III-C 2).

    Attributes:
        stamp_ns: Stamp of the frame that they are cells of.
        row_col: Grid cell that contains the keypoint, 0..27.
        xy_px: The keypoint itself.
        visible: True where the patch may be used as a local feature; false ones are zeroed by the policy.
        health: `TrackHealth` of each.
        query_index: Which text query each belongs to.
        result_age_ns: See `PointTracks`.
        redetected_from_ns: Stamp of the snapshot whose re-detection was taken in at this frame (its points merged, or
            refused as another thing); 0 if there was none. A replay follows these.

    Raises:
        InvalidValueError: wrong shapes, a cell outside the grid, an unknown health, a negative age or query, or a
            visible patch that is not TRACKED.
    """

    stamp_ns: int
    row_col: Int[np.ndarray, "n 2"]
    xy_px: Float[np.ndarray, "n 2"]
    visible: Bool[np.ndarray, "n"]
    health: Int[np.ndarray, "n"]
    query_index: Int[np.ndarray, "n"]
    result_age_ns: int = 0
    redetected_from_ns: int = 0

    def __post_init__(self) -> None:
        _set(self, "stamp_ns", _check_stamp("KeyPatches", self.stamp_ns))
        for name in ("result_age_ns", "redetected_from_ns"):
            _set(self, name, _check_ns("KeyPatches", name, getattr(self, name)))
        _set(self, "row_col", _array("KeyPatches", "row_col", self.row_col, np.int64, ("n", 2)))
        n = len(self.row_col)
        if n and (self.row_col.min() < 0 or self.row_col.max() >= GRID_SIZE):
            raise InvalidValueError(
                f"KeyPatches.row_col must lie in 0..{GRID_SIZE - 1}, but ranges over "
                f"{self.row_col.min()}..{self.row_col.max()}"
            )
        _set(self, "xy_px", _array("KeyPatches", "xy_px", self.xy_px, np.float64, (n, 2)))
        _set(self, "visible", _array("KeyPatches", "visible", self.visible, np.bool_, (n,)))
        _set(self, "health", _array("KeyPatches", "health", self.health, np.int64, (n,)))
        if n and not np.all(np.isin(self.health, [h.value for h in TrackHealth])):
            raise InvalidValueError(
                f"KeyPatches.health holds unknown values: {sorted(set(self.health.tolist()))}"
            )
        if np.any(self.visible & (self.health != TrackHealth.TRACKED)):
            raise InvalidValueError("KeyPatches.visible is true for a patch whose health is not TRACKED")
        _set(self, "query_index", _array("KeyPatches", "query_index", self.query_index, np.int64, (n,)))
        if n and self.query_index.min() < 0:
            raise InvalidValueError(
                f"KeyPatches.query_index must not be negative, not {self.query_index.min()}"
            )

    def __len__(self) -> int:
        return len(self.row_col)

    @property
    def tracked_share(self) -> float:
        """Share of patches whose health is TRACKED, 0..1; 0 if there are none."""
        return float(np.mean(self.health == TrackHealth.TRACKED)) if len(self) else 0.0

    @property
    def tracked_share_by_query(self) -> Float[np.ndarray, "queries"]:
        """Share of each query's patches whose health is TRACKED, from query 0 to the last one that has patches."""
        if not len(self):
            return np.zeros(0)
        tracked = (self.health == TrackHealth.TRACKED).astype(np.float64)
        totals = np.bincount(self.query_index)
        shares: np.ndarray = np.bincount(self.query_index, tracked) / np.maximum(totals, 1)
        return shares

    def tracked_share_of(self, query_index: int) -> float:
        """Share of one query's patches whose health is TRACKED, 0..1; 0 if it has none."""
        shares = self.tracked_share_by_query
        return float(shares[query_index]) if 0 <= query_index < len(shares) else 0.0


@dataclass(frozen=True, eq=False)
class RobotState:
    """Arm and gripper at one instant.

    Attributes:
        stamp_ns: Host clock.
        joint_position_rad: Joints 1 to 7.
        joint_velocity_rad_s: Joints 1 to 7.
        T_base_ee: Pose of the tool centre point in the base frame, translation in metres.
        gripper_width_m: Distance between the finger tips.
        external_wrench: Force [N] and torque [Nm] that something exerts on the tool, base frame, as the robot
            estimates it; None where it is not known.
    """

    stamp_ns: int
    joint_position_rad: Float[np.ndarray, "7"]
    joint_velocity_rad_s: Float[np.ndarray, "7"]
    T_base_ee: Float[np.ndarray, "4 4"]
    gripper_width_m: float
    external_wrench: Float[np.ndarray, "6"] | None = None

    def __post_init__(self) -> None:
        _set(self, "stamp_ns", _check_stamp("RobotState", self.stamp_ns))
        for name in ("joint_position_rad", "joint_velocity_rad_s"):
            _set(self, name, _array("RobotState", name, getattr(self, name), np.float64, (NUM_JOINTS,)))
        _set(self, "T_base_ee", _array("RobotState", "T_base_ee", self.T_base_ee, np.float64, (4, 4)))
        if not _is_rotation(self.T_base_ee[:3, :3]):
            raise InvalidValueError("RobotState.T_base_ee does not hold a rotation matrix")
        if not np.isfinite(self.gripper_width_m):
            raise InvalidValueError(f"RobotState.gripper_width_m must be finite, not {self.gripper_width_m}")
        _set(self, "gripper_width_m", float(self.gripper_width_m))
        if self.external_wrench is not None:
            wrench = _array("RobotState", "external_wrench", self.external_wrench, np.float64, (6,))
            _set(self, "external_wrench", wrench)


@dataclass(frozen=True, eq=False)
class Observation:
    """What the policy sees at one instant: one frame, its key-patches, and the robot's state then.

    Raises:
        InvalidValueError: the key-patches are of another frame.
    """

    frame: CameraFrame
    key_patches: KeyPatches
    robot_state: RobotState

    def __post_init__(self) -> None:
        if self.frame.stamp_ns != self.key_patches.stamp_ns:
            raise InvalidValueError(
                f"Observation joins the frame of {self.frame.stamp_ns} ns with the key-patches of "
                f"{self.key_patches.stamp_ns} ns; they must be of the same frame"
            )

    @property
    def stamp_ns(self) -> int:
        """Capture time of the frame."""
        return self.frame.stamp_ns


@dataclass(frozen=True, eq=False)
class ActionChunk:
    """Absolute targets in the base frame; action k is the target in force at `stamp_ns + k * dt_s`.

    Attributes:
        stamp_ns: Capture stamp of the observation that it was predicted from.
        dt_s: Time between actions.
        position_m: Tool centre point.
        rotation_6d: First two columns of the rotation matrix, one after the other (Zhou et al. 2019).
        gripper_width_m: Distance between the finger tips.
        frozen: How many actions, from the first on, were taken over from the chunk before; they had to be known while
            this one was still being computed.

    Raises:
        InvalidValueError: wrong shapes, NaN, empty chunk, `frozen` outside 0..horizon, dt_s outside 0..1 s,
            degenerate rotation.
    """

    stamp_ns: int
    dt_s: float
    position_m: Float[np.ndarray, "horizon 3"]
    rotation_6d: Float[np.ndarray, "horizon 6"]
    gripper_width_m: Float[np.ndarray, "horizon"]
    frozen: int = 0

    def __post_init__(self) -> None:
        _set(self, "stamp_ns", _check_stamp("ActionChunk", self.stamp_ns))
        if not 0.0 < self.dt_s <= 1.0:
            raise InvalidValueError(f"ActionChunk.dt_s must lie in 0..1 s, not {self.dt_s}")
        _set(
            self,
            "position_m",
            _array("ActionChunk", "position_m", self.position_m, np.float64, ("horizon", 3)),
        )
        horizon = len(self.position_m)
        if horizon == 0:
            raise InvalidValueError("ActionChunk must hold at least one action")
        _set(
            self,
            "rotation_6d",
            _array("ActionChunk", "rotation_6d", self.rotation_6d, np.float64, (horizon, 6)),
        )
        first, second = self.rotation_6d[:, :3], self.rotation_6d[:, 3:]
        with np.errstate(over="ignore", invalid="ignore"):
            area = np.linalg.norm(np.cross(first, second), axis=1)
        if not np.all(area >= 1e-3):  # NaN, from an overflow, is refused too
            raise InvalidValueError(
                "ActionChunk.rotation_6d is degenerate: its two columns are nearly parallel or zero"
            )
        gripper = _array("ActionChunk", "gripper_width_m", self.gripper_width_m, np.float64, (horizon,))
        _set(self, "gripper_width_m", gripper)
        if not 0 <= self.frozen <= horizon:
            raise InvalidValueError(f"ActionChunk.frozen must lie in 0..{horizon}, not {self.frozen}")

    def __len__(self) -> int:
        return len(self.position_m)

    @property
    def dt_ns(self) -> int:
        """Time between actions in nanoseconds."""
        return round(self.dt_s * 1e9)

    @property
    def end_ns(self) -> int:
        """Time of the last action."""
        return self.stamp_ns + (len(self) - 1) * self.dt_ns
