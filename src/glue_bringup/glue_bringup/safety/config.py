"""Settings of the safety supervisor and its parts. Loaded from a task's YAML under `safety`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

from glue_bringup.arm.impedance_gains import PANDA_HOME_RAD
from glue_bringup.arm.limits import RobotLimits
from glue_perception.errors import ConfigError


def _require_positive(owner: str, config: object, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if value is not None and not (value > 0.0 and math.isfinite(value)):
            raise ConfigError(f"{owner}.{name} must be positive and finite, not {value}")


@dataclass(frozen=True)
class MotionLimits:
    """Bounds of the commanded tool pose: Euclidean norms, not per axis.

    The defaults are well under the robots' own tables (1.7 m/s and more): at 0.5 m/s the arm stops within 0.35 s.
    A direction is guaranteed the bound divided by sqrt(3), see `MotionLimiter`.

    Attributes:
        translation_velocity_m_s: Speed of the tool centre point.
        translation_acceleration_m_s2: Its acceleration.
        translation_jerk_m_s3: Its jerk.
        rotation_velocity_rad_s: Angular speed.
        rotation_acceleration_rad_s2: Angular acceleration.
        rotation_jerk_rad_s3: Angular jerk.

    Raises:
        ConfigError: a bound is not positive.
    """

    translation_velocity_m_s: float = 0.5
    translation_acceleration_m_s2: float = 2.0
    translation_jerk_m_s3: float = 40.0
    rotation_velocity_rad_s: float = 1.5
    rotation_acceleration_rad_s2: float = 6.0
    rotation_jerk_rad_s3: float = 120.0

    def __post_init__(self) -> None:
        _require_positive("motion", self, *(f.name for f in fields(self)))

    def check_against(self, robot: RobotLimits) -> None:
        """Refuse bounds that the robot itself does not allow.

        Raises:
            ConfigError: a bound is above the robot's table.
        """
        for f in fields(self):
            asked, allowed = getattr(self, f.name), getattr(robot, f.name)
            if asked > allowed:
                raise ConfigError(
                    f"safety.motion.{f.name} is {asked:g}, but a {robot.model.value} allows {allowed:g}; lower it"
                )


@dataclass(frozen=True)
class WorkspaceBox:
    """Where the tool centre point may be commanded to, in the base frame. The default is a table before the robot.

    Attributes:
        min_m: Lower corner x, y, z.
        max_m: Upper corner x, y, z.

    Raises:
        ConfigError: the box is empty.
    """

    min_m: tuple[float, float, float] = (0.20, -0.45, 0.0)
    max_m: tuple[float, float, float] = (0.80, 0.45, 0.80)

    def __post_init__(self) -> None:
        for axis, low, high in zip("xyz", self.min_m, self.max_m, strict=True):
            if not low < high:
                raise ConfigError(f"workspace is empty along {axis}: min_m {low} is not below max_m {high}")


@dataclass(frozen=True)
class ExecutorConfig:
    """How a chunk becomes a continuous target.

    Attributes:
        lookahead_s: The target's velocity is its mean over this time ahead, so that following brakes before the
            target stops. About the time that the limiter needs to stop from 0.25 m/s.
        linger_s: How long the last action stays in force after its time, before the chunk counts as expired.
        blend_s: Over this time a new chunk takes over from the last one; 0, at once, by default: the motion limiter
            makes every passage smooth, and `policy.seams` can make the chunks themselves agree.
        lead_s: Every action is sent this much before its time, for an arm that follows late. 0 for a policy that was
            trained on commanded targets, whose lag it has learnt with them; see `LatencyConfig.compensate`.

    Raises:
        ConfigError: a negative or excessive time.
    """

    lookahead_s: float = 0.2
    linger_s: float = 0.2
    blend_s: float = 0.0
    lead_s: float = 0.0

    def __post_init__(self) -> None:
        if not 0.01 <= self.lookahead_s <= 1.0:
            raise ConfigError(f"executor.lookahead_s must lie in 0.01..1, not {self.lookahead_s}")
        if not 0.0 <= self.linger_s <= 1.0:
            raise ConfigError(f"executor.linger_s must lie in 0..1, not {self.linger_s}")
        if not 0.0 <= self.blend_s <= 1.0:
            raise ConfigError(f"executor.blend_s must lie in 0..1, not {self.blend_s}")
        if not 0.0 <= self.lead_s <= 0.5:
            raise ConfigError(f"executor.lead_s must lie in 0..0.5, not {self.lead_s}")


@dataclass(frozen=True)
class WatchdogConfig:
    """How old each input may grow before the arm is brought to rest; None switches one off.

    Attributes:
        max_frame_age_s: Newest camera frame; off for teleoperation without a camera.
        max_key_patches_age_s: Newest key-patches.
        max_state_age_s: The robot state handed to `step`.
        max_chunk_age_s: The observation that the chunk in force was predicted from.
        stamp_tolerance_s: How far a stamp may lie in the future.
        max_state_jump_m: Distance between two states beyond what the robot's top speed explains.
        max_following_error_m: Distance between the commanded and the measured tool. A blocked arm is not to be
            pushed on; the impedance law's error clip bounds the force meanwhile.
        warn_tracked_share: A share of tracked key-patches below this for `tracked_share_patience_s` is reported.
        hold_tracked_share: Below this for as long, the arm is held. 0, never, by default: the hand hides its object
            in the very moment of contact, and the policy is trained with hidden patches (their feature is zero).
        tracked_share_patience_s: See above.
        few_tracks_speed_share: While few key-patches are tracked the arm may use this share of its speed.
        max_deadman_age_s: The operator's deadman switch must be held, and have said so within this time; None, not
            asked for, by default: it is for teleoperation.
        max_external_force_n: Norm of the force at the tool that the robot estimates, where its driver reports one.
            Below the driver's `collision_force_n`, so that the arm comes to rest softly before the reflex.
        max_external_torque_nm: The same for the torque.
        external_force_patience_s: How long one of the two may be exceeded.

    Raises:
        ConfigError: a limit that is not positive, or a share outside 0..1.
    """

    max_frame_age_s: float | None = 0.5
    max_key_patches_age_s: float | None = 0.5
    max_state_age_s: float = 0.1
    max_chunk_age_s: float = 2.0
    stamp_tolerance_s: float = 0.01
    max_state_jump_m: float = 0.05
    max_following_error_m: float = 0.15
    warn_tracked_share: float = 0.3
    hold_tracked_share: float = 0.0
    tracked_share_patience_s: float = 1.0
    few_tracks_speed_share: float = 0.5
    max_deadman_age_s: float | None = None
    max_external_force_n: float | None = 45.0
    max_external_torque_nm: float | None = 20.0
    external_force_patience_s: float = 0.05

    def __post_init__(self) -> None:
        shares = ("warn_tracked_share", "hold_tracked_share")
        _require_positive("watchdogs", self, *(f.name for f in fields(self) if f.name not in shares))
        if self.few_tracks_speed_share > 1.0:
            raise ConfigError(
                f"watchdogs.few_tracks_speed_share must lie in 0..1, not {self.few_tracks_speed_share}"
            )
        for name in shares:
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"watchdogs.{name} must lie in 0..1, not {getattr(self, name)}")


@dataclass(frozen=True)
class JointGuardConfig:
    """Margins of the joint path beneath the commanded pose, see `JointGuard`.

    In force where the host gives the supervisor a kinematic model.

    Attributes:
        position_margin_rad: Distance of the commanded joints from the ends of their ranges.
        position_stop_rad: A measured joint this near to an end holds the arm.
        velocity_share: Of the robot's table; the rest is for the way between checked points and for the arm's
            following error.
        acceleration_share: The same.
        jerk_share: The same.
        min_singular_value: Least singular value of the Jacobian (rows in m and rad). 0.22 at home; below 0.05 a slow
            motion of the tool asks for twenty times as much of the joints.
        self_collision_margin_m: Distance between the maker's capsules around the links.
        table_height_m: Height of a table that forearm, wrist and palm must stay above; None: there is none. (The
            finger tips are the business of `workspace`.)
        posture_rad: Where the elbow is drawn to in a dry run, as by the impedance law; the measured elbow otherwise.
        elbow_rate_s: How strongly it is drawn, per second.
        elbow_speed_rad_s: How fast at most.
        elbow_acceleration_rad_s2: And how abruptly.

    Raises:
        ConfigError: a margin or share out of range.
    """

    position_margin_rad: float = 0.1
    position_stop_rad: float = 0.02
    velocity_share: float = 0.85
    acceleration_share: float = 0.8
    jerk_share: float = 0.8
    min_singular_value: float = 0.05
    self_collision_margin_m: float = 0.02
    table_height_m: float | None = None
    posture_rad: tuple[float, float, float, float, float, float, float] = PANDA_HOME_RAD
    elbow_rate_s: float = 4.0
    elbow_speed_rad_s: float = 0.3
    elbow_acceleration_rad_s2: float = 1.0

    def __post_init__(self) -> None:
        names = (f.name for f in fields(self) if f.name not in ("posture_rad", "table_height_m"))
        _require_positive("joints", self, *names)
        for name in ("velocity_share", "acceleration_share", "jerk_share"):
            if getattr(self, name) > 0.95:
                raise ConfigError(f"joints.{name} must be 0.95 at most, not {getattr(self, name)}")


@dataclass(frozen=True)
class SafetyConfig:
    """All settings of the safety supervisor.

    Attributes:
        workspace: Where the tool may be commanded to.
        motion: Bounds of its motion.
        executor: From chunks to targets.
        watchdogs: Ages and plausibility.
        joints: Margins in the joints.
        gripper_max_width_m: Openings are clamped to 0 .. this; 0.08 m is the Franka Hand's.
        dry_run: Everything is computed, recorded and reported, and the arm is kept where it is.

    Raises:
        ConfigError: see the parts.
    """

    workspace: WorkspaceBox = field(default_factory=WorkspaceBox)
    motion: MotionLimits = field(default_factory=MotionLimits)
    executor: ExecutorConfig = field(default_factory=ExecutorConfig)
    watchdogs: WatchdogConfig = field(default_factory=WatchdogConfig)
    joints: JointGuardConfig = field(default_factory=JointGuardConfig)
    gripper_max_width_m: float = 0.08
    dry_run: bool = False

    def __post_init__(self) -> None:
        _require_positive("safety", self, "gripper_max_width_m")
