"""How a policy is computed at run time; light enough to be read without loading torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from glue_perception.errors import ConfigError

GREY_LEVELS = 255


class EngineName(StrEnum):
    """Who computes: `torch` op by op, `traced` as recorded graphs, `openvino` rearranged and compiled."""

    TORCH = "torch"
    TRACED = "traced"
    OPENVINO = "openvino"


class Precision(StrEnum):
    """Of the encoders' matrix products; everything else is float32, since the sampler magnifies small errors.

    With `int8` the sampler's products are sums of int8 ones that keep some 15 bits. `bfloat16` needs a processor with
    avx512_bf16 or AMX to be fast, `int8` one with VNNI: weights per output channel, activations per token as they
    come, so that no calibration is needed.
    """

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    INT8 = "int8"


@dataclass(frozen=True)
class EngineConfig:
    """Choice of engine. Part of an episode's record, since it decides the last bits of a chunk.

    Attributes:
        name: See `EngineName`.
        precision: See `Precision`; engines other than `openvino` compute in float32.
        reuse_max_difference: A quarter of the image in which no pixel changed by more than this many grey levels
            keeps its local features. 0 changes no bit of a result. More makes a chunk depend on the frames before
            it, by at most this much in any pixel: the difference is to the frame that was encoded, so it cannot
            creep. None encodes always.
        budget_ms: The step must fit into this: as many denoising steps as do, measured once when the engine is
            built, up to the number asked for. The chunks then depend on how fast and how busy the machine is, and
            a replay need not give the same bits; None, the default, takes the number asked for.

    Raises:
        ConfigError: an impossible combination.
    """

    name: EngineName = EngineName.TRACED
    precision: Precision = Precision.FLOAT32
    reuse_max_difference: int | None = 0
    budget_ms: float | None = None

    def __post_init__(self) -> None:
        if self.precision is not Precision.FLOAT32 and self.name is not EngineName.OPENVINO:
            raise ConfigError(
                f"engine {self.name.value!r} computes in float32; precision {self.precision.value!r} needs engine "
                "'openvino'"
            )
        if self.budget_ms is not None and self.budget_ms <= 0.0:
            raise ConfigError(f"budget_ms must be positive or null, not {self.budget_ms}")
        if self.reuse_max_difference is not None and not 0 <= self.reuse_max_difference <= GREY_LEVELS:
            raise ConfigError(
                f"reuse_max_difference must lie in 0..{GREY_LEVELS} or be null, not {self.reuse_max_difference}"
            )
