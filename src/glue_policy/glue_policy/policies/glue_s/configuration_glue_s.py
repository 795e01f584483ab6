"""Every choice that makes a GLUE-S network, with two presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from glue_policy.policies.glue.configuration_glue import Encoder, VitConfig


@dataclass(frozen=True)
class GlueSConfig(VitConfig):
    """Architecture and diffusion of one GLUE-S policy: those of GLUE, less the fusion."""

    @classmethod
    def presets(cls) -> Mapping[str, Self]:
        """Return `paper` and `tiny`; each is GLUE's of the same name without the local branch."""
        return {
            "paper": cls(),
            "tiny": cls(
                encoder=Encoder.SMALL,
                encoder_dim=128,
                encoder_depth=3,
                encoder_heads=4,
                channels=(64, 96),
                step_dim=64,
            ),
        }
