"""The latencies of one set-up, under `latencies` in a task's YAML; `glue calibrate latency` measures them."""

from __future__ import annotations

from dataclasses import dataclass, fields

from glue_perception.errors import ConfigError


@dataclass(frozen=True)
class LatencyConfig:
    """Delays between the world, the program and the robot; 0 where not measured.

    Attributes:
        camera_stamp_s: By how much a frame's stamp is later than the instant that it shows. Capture time is the stamp
            less this.
        camera_delivery_s: From a frame's stamp until the program has it.
        arm_s: By how much the measured tool follows its target: the lag that aligns the two best.
        gripper_s: From the command until the fingers move.
        compensate: Whether the executor sends every action `arm_s + camera_stamp_s` early (`executor.lead_s`), so
            that the arm is in time. For policies that were trained on measured poses; one that was trained on
            commanded targets, as demonstrations of this project are, has learnt the lag with them.

    Raises:
        ConfigError: a delay that is negative (but for the stamp's) or beyond a second.
    """

    camera_stamp_s: float = 0.0
    camera_delivery_s: float = 0.0
    arm_s: float = 0.0
    gripper_s: float = 0.0
    compensate: bool = False

    def __post_init__(self) -> None:
        for f in (f for f in fields(self) if f.name != "compensate"):
            value, least = getattr(self, f.name), -0.2 if f.name == "camera_stamp_s" else 0.0
            if not least <= value <= 1.0:
                raise ConfigError(f"latencies {f.name} must lie in {least:g}..1 s, not {value}")
