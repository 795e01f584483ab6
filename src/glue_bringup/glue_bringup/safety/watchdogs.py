"""What must be fresh and plausible for the arm to move."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from glue_bringup.arm.limits import RobotLimits
from glue_bringup.safety.config import WatchdogConfig
from glue_bringup.safety.reasons import Reason
from glue_perception.timing import NS_PER_S
from glue_perception.types import KeyPatches, RobotState


class Watchdogs:
    """Remembers the newest inputs and names the first that is too old or not plausible.

    Args:
        config: Limits.
        robot: Joint speeds and top speed of the robot.
        follows: Whether the arm is expected to follow; it does not in a dry run.
    """

    def __init__(self, config: WatchdogConfig, robot: RobotLimits, follows: bool = True) -> None:
        self._config = config
        self._follows = follows
        self._joint_velocity_rad_s = np.array(robot.joint_velocity_rad_s)
        self._top_speed_m_s = robot.translation_velocity_m_s
        self.reset(0)

    def reset(self, now_ns: int) -> None:
        """Begin an episode: frames and key-patches have to come within their limits from now on."""
        self._frame_ns = now_ns
        self._key_patches_ns = now_ns
        self._tracked_share = 1.0
        self._warn_since_ns: int | None = None
        self._hold_since_ns: int | None = None
        self._last_state: RobotState | None = None
        self._deadman_ns, self._deadman_held = now_ns, False
        self._pushed_since_ns: int | None = None

    def note_deadman(self, stamp_ns: int, held: bool) -> None:
        """Take note of the operator's deadman switch; an older report than the newest changes nothing."""
        if stamp_ns >= self._deadman_ns:
            self._deadman_ns, self._deadman_held = stamp_ns, held

    def note_frame(self, stamp_ns: int) -> None:
        """Take note of a camera frame; an older one than the newest changes nothing."""
        self._frame_ns = max(self._frame_ns, stamp_ns)

    def note_key_patches(self, key_patches: KeyPatches) -> None:
        """Take note of the key-patches of a frame; older ones than the newest change nothing."""
        stamp_ns = key_patches.stamp_ns
        if stamp_ns < self._key_patches_ns:
            return
        self._key_patches_ns = stamp_ns
        self._tracked_share = key_patches.tracked_share
        config = self._config
        self._warn_since_ns = self._since(self._warn_since_ns, config.warn_tracked_share, stamp_ns)
        self._hold_since_ns = self._since(self._hold_since_ns, config.hold_tracked_share, stamp_ns)

    def _since(self, since_ns: int | None, threshold: float, stamp_ns: int) -> int | None:
        """Return when the share of tracked patches fell below a threshold, or None if it is not below."""
        if self._tracked_share >= threshold:
            return None
        return stamp_ns if since_ns is None else since_ns

    def few_tracks(self, now_ns: int) -> bool:
        """Return whether few key-patches have been tracked for longer than the patience."""
        return self._lasted(self._warn_since_ns, now_ns)

    def _lasted(self, since_ns: int | None, now_ns: int) -> bool:
        return since_ns is not None and _older(now_ns, since_ns, self._config.tracked_share_patience_s)

    def fault(self, now_ns: int, state: RobotState, commanded_m: Float[np.ndarray, "3"]) -> Reason | None:
        """Return the first reason to hold, or None.

        Args:
            now_ns: Time of this tick.
            state: Newest robot state.
            commanded_m: Commanded position of the tool centre point, base frame.
        """
        return (
            self._state_fault(now_ns, state, commanded_m)
            or self._contact_fault(now_ns, state)
            or self._operator_fault(now_ns)
            or self._perception_fault(now_ns)
        )

    def _state_fault(
        self, now_ns: int, state: RobotState, commanded_m: Float[np.ndarray, "3"]
    ) -> Reason | None:
        config = self._config
        last, self._last_state = self._last_state, state
        future_ns = state.stamp_ns - now_ns
        if (
            _older(now_ns, state.stamp_ns, config.max_state_age_s)
            or future_ns > config.max_state_age_s * NS_PER_S
        ):
            return Reason.STALE_STATE
        position_m = state.T_base_ee[:3, 3]
        if last is not None:
            travel_m = float(np.linalg.norm(position_m - last.T_base_ee[:3, 3]))
            elapsed_s = max(0, state.stamp_ns - last.stamp_ns) / NS_PER_S
            if travel_m > config.max_state_jump_m + self._top_speed_m_s * elapsed_s:
                return Reason.STATE_JUMP
        if np.any(np.abs(state.joint_velocity_rad_s) > self._joint_velocity_rad_s):
            return Reason.JOINT_VELOCITY
        if self._follows and np.linalg.norm(position_m - commanded_m) > config.max_following_error_m:
            return Reason.FOLLOWING_ERROR
        return None

    def _contact_fault(self, now_ns: int, state: RobotState) -> Reason | None:
        config, wrench = self._config, state.external_wrench
        if wrench is None or not (
            _beyond(wrench[:3], config.max_external_force_n)
            or _beyond(wrench[3:], config.max_external_torque_nm)
        ):
            self._pushed_since_ns = None
            return None
        if self._pushed_since_ns is None:
            self._pushed_since_ns = now_ns
        patience_s = config.external_force_patience_s
        return Reason.EXTERNAL_FORCE if _older(now_ns, self._pushed_since_ns, patience_s) else None

    def _operator_fault(self, now_ns: int) -> Reason | None:
        limit_s = self._config.max_deadman_age_s
        if limit_s is None:
            return None
        if not self._deadman_held:
            return Reason.DEADMAN_RELEASED
        return Reason.STALE_DEADMAN if _older(now_ns, self._deadman_ns, limit_s) else None

    def _perception_fault(self, now_ns: int) -> Reason | None:
        config = self._config
        if _older(now_ns, self._frame_ns, config.max_frame_age_s):
            return Reason.STALE_FRAME
        if _older(now_ns, self._key_patches_ns, config.max_key_patches_age_s):
            return Reason.STALE_KEY_PATCHES
        if self._lasted(self._hold_since_ns, now_ns):
            return Reason.TRACKS_LOST
        return None


def _older(now_ns: int, stamp_ns: int, limit_s: float | None) -> bool:
    return limit_s is not None and now_ns - stamp_ns > limit_s * NS_PER_S


def _beyond(vector: Float[np.ndarray, "3"], limit: float | None) -> bool:
    return limit is not None and float(np.linalg.norm(vector)) > limit
