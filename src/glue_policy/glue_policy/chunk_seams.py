"""From one chunk to the next without a step: what is kept of earlier chunks when a new one is made.

```
last chunk       a a a a a a a a a a a a a a a a
new observation          |                              a new chunk begins here ...
in force                 |- - - - -|                    ... and takes over here: inference took this long
hard                     . . . . . N N N N N N N N N N N
ensemble                 M M M M M M M M M M M N N N N N   M: mean of every chunk that has an action for this time
inpaint                  F F F F F F s s s s s N N N N N   F: frozen to the last chunk, s: drawn to it ever less
```

`inpaint` is real-time chunking (Black et al. 2025) for a diffusion policy: the actions that will have run before the
new chunk takes over are given, and the rest is sampled so that it goes on from them. `ensemble` is ACT's temporal
ensembling (Zhao et al. 2023). The paper switches hard, as Diffusion Policy does.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Bool, Float

from glue_perception.errors import ConfigError
from glue_perception.geometry import matrix_from_rotation_6d, rotation_6d_from_matrix
from glue_perception.timing import NS_PER_S
from glue_perception.types import ActionChunk

Actions = Float[np.ndarray, "horizon 10"]

MEASURED_CHUNKS = 5
"""The largest delay of so many chunks is what the next one is expected to take."""


class SeamMode(StrEnum):
    """How a chunk goes on from the one before, see this module's text."""

    HARD = "hard"
    ENSEMBLE = "ensemble"
    INPAINT = "inpaint"


@dataclass(frozen=True)
class SeamConfig:
    """Choice of seam. Part of an episode's record.

    Attributes:
        mode: See `SeamMode`; `inpaint` needs a diffusion policy with DDIM.
        ensemble_decay: Of `ensemble`: the i-th oldest chunk weighs exp(-decay * i); 0.01 is ACT's.
        first_delay_s: Of `inpaint`: from capture to taking over, until it has been measured.
        max_age_s: Chunks of observations longer ago are forgotten: the arm may have been held meanwhile.

    Raises:
        ConfigError: a value out of range.
    """

    mode: SeamMode = SeamMode.HARD
    ensemble_decay: float = 0.01
    first_delay_s: float = 0.1
    max_age_s: float = 0.8

    def __post_init__(self) -> None:
        if not 0.0 <= self.ensemble_decay <= 10.0:
            raise ConfigError(f"ensemble_decay must lie in 0..10, not {self.ensemble_decay}")
        if not 0.0 <= self.first_delay_s <= 2.0:
            raise ConfigError(f"first_delay_s must lie in 0..2, not {self.first_delay_s}")
        if not 0.0 < self.max_age_s <= 5.0:
            raise ConfigError(f"max_age_s must lie in 0..5 and not be 0, not {self.max_age_s}")


@dataclass(frozen=True, eq=False)
class Draw:
    """What a new chunk is drawn to, and how strongly.

    Attributes:
        action: The last chunk's actions at the new chunk's times (physical units).
        weight: 1 where they are frozen, falling to 0.
        frozen: How many actions, from the first on, have weight 1.
    """

    action: Actions
    weight: Float[np.ndarray, "horizon"]
    frozen: int


class ChunkSeams:
    """Remembers the chunks of one episode. One thread, but for `note_in_force` and `note_held`.

    Args:
        config: Choice of seam.
        horizon: Actions per chunk.
        dt_s: Time between actions.
    """

    def __init__(self, config: SeamConfig, horizon: int, dt_s: float) -> None:
        self._config = config
        self._horizon = horizon
        self._dt_ns = round(dt_s * NS_PER_S)
        self._chunks: deque[tuple[int, Actions]] = deque(maxlen=horizon)
        self._delays_ns: deque[int] = deque(maxlen=MEASURED_CHUNKS)
        self._held_ns: int | None = None

    def reset(self) -> None:
        """Begin an episode. Measured delays are kept: they belong to the machine."""
        self._chunks.clear()
        self._held_ns = None

    def note_in_force(self, stamp_ns: int, now_ns: int) -> None:
        """Say that the chunk of the observation at `stamp_ns` has taken over now. Any thread."""
        self._delays_ns.append(now_ns - stamp_ns)

    def note_held(self, now_ns: int) -> None:
        """Say that the arm does not do now what the chunks say: it is held, or the last one was refused. Any thread.

        The next chunk is then not drawn to one from before. Otherwise chunk upon chunk would go on with a motion that
        the resting arm does not make, ever farther from where it is. Ensembling still looks back by `max_age_s`.
        """
        self._held_ns = now_ns

    def draw(self, stamp_ns: int, frozen: int | None = None) -> Draw | None:
        """Return what the chunk of an observation is to go on from; None if that is nothing.

        Args:
            stamp_ns: Of the observation.
            frozen: How many actions are frozen, from a record; None works it out from the measured delay.
        """
        self._forget(stamp_ns)
        if self._config.mode is not SeamMode.INPAINT or not self._chunks:
            return None
        if self._held_ns is not None and self._chunks[-1][0] <= self._held_ns:
            return None
        action, known = self._resampled(*self._chunks[-1], stamp_ns)
        overlap = int(np.count_nonzero(known))
        frozen = min(overlap, self._frozen() if frozen is None else frozen)
        if frozen == 0:
            return None
        return Draw(action, _falling_weight(self._horizon, frozen, overlap), frozen)

    def join(self, stamp_ns: int, action: Actions) -> Actions:
        """Take a new chunk; return what is to be executed of it."""
        self._forget(stamp_ns)
        self._chunks.append((stamp_ns, action))
        if self._config.mode is not SeamMode.ENSEMBLE or len(self._chunks) == 1:
            return action
        total, weights = np.zeros_like(action), np.zeros((self._horizon, 1))
        for age, (stamp, actions) in enumerate(self._chunks):
            there, known = self._resampled(stamp, actions, stamp_ns)
            weight = np.exp(-self._config.ensemble_decay * age) * known[:, None]
            total += weight * there
            weights += weight
        return _proper(total / weights)

    def _forget(self, now_ns: int) -> None:
        oldest_ns = now_ns - round(self._config.max_age_s * NS_PER_S)
        while self._chunks and not oldest_ns <= self._chunks[0][0] < now_ns:
            self._chunks.popleft()

    def _frozen(self) -> int:
        """Return how many actions stand on either side of every instant before the new chunk takes over."""
        delay_ns = max(self._delays_ns, default=round(self._config.first_delay_s * NS_PER_S))
        return max(0, delay_ns) // self._dt_ns + 2

    def _resampled(
        self, stamp_ns: int, action: Actions, at_ns: int
    ) -> tuple[Actions, Bool[np.ndarray, "horizon"]]:
        """Return a chunk's actions at the times of one that begins at `at_ns`, and for which of them it has some."""
        places = (at_ns - stamp_ns) / self._dt_ns + np.arange(self._horizon)
        known = places <= self._horizon - 1
        places = np.minimum(places, self._horizon - 1)
        low = np.floor(places).astype(int)
        high, share = np.minimum(low + 1, self._horizon - 1), (places - low)[:, None]
        return _proper((1.0 - share) * action[low] + share * action[high]), known


def actions_of(chunk: ActionChunk) -> Actions:
    """Return a chunk as one array: position_m (3), rotation_6d (6), gripper_width_m (1)."""
    return np.concatenate([chunk.position_m, chunk.rotation_6d, chunk.gripper_width_m[:, None]], axis=1)


def _proper(action: Actions) -> Actions:
    """Return actions whose rotations are rotations; a mean of two is not."""
    rotation = rotation_6d_from_matrix(matrix_from_rotation_6d(action[:, 3:9]))
    return np.concatenate([action[:, :3], rotation, action[:, 9:]], axis=1)


def _falling_weight(horizon: int, frozen: int, overlap: int) -> Float[np.ndarray, "horizon"]:
    """Return real-time chunking's soft mask: 1 while frozen, exponentially falling over the overlap, then 0."""
    index = np.arange(horizon)
    left = np.clip((overlap - index) / (overlap - frozen + 1), 0.0, 1.0)
    weight: np.ndarray = left * np.expm1(left) / np.expm1(1.0)
    weight[:frozen] = 1.0
    weight[overlap:] = 0.0
    return weight
