"""Delay between two recorded signals. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from glue_perception.errors import InvalidValueError

MIN_SAMPLES = 8
MIN_EXPLAINED = 0.5
"""A shift that explains less of the measured signal than this is no delay but noise."""


@dataclass(frozen=True)
class Signal:
    """Samples of one number over time.

    Attributes:
        time_s: Ascending, any clock.
        value: One each.

    Raises:
        InvalidValueError: too few samples, different lengths, times that do not ascend, or NaN.
    """

    time_s: Float[np.ndarray, " n"]
    value: Float[np.ndarray, " n"]

    def __post_init__(self) -> None:
        if self.time_s.shape != self.value.shape or self.time_s.ndim != 1 or len(self.time_s) < MIN_SAMPLES:
            raise InvalidValueError(
                f"a signal needs {MIN_SAMPLES} times and as many values, not {len(self.time_s)}"
            )
        if not (np.isfinite(self.time_s).all() and np.isfinite(self.value).all()):
            raise InvalidValueError("a signal holds NaN")
        if not (np.diff(self.time_s) > 0.0).all():
            raise InvalidValueError("the times of a signal do not ascend")

    def window(self, begin_s: float, end_s: float) -> Signal:
        """Return the part within begin and end."""
        inside = (self.time_s >= begin_s) & (self.time_s <= end_s)
        return Signal(self.time_s[inside], self.value[inside])


def delay_s(
    cause: Signal, effect: Signal, min_s: float = -0.2, max_s: float = 0.6, step_s: float = 0.001
) -> float:
    """Return by how much `effect` comes after `cause`: the shift at which the cause explains the effect best.

    The effect may be any smooth function of the cause (the picture's change is not proportional to the motion, and
    has either sign): at each shift a parabola in the cause is fitted, and the one with the least residual counts.

    Args:
        cause: Sampled densely; interpolated linearly.
        effect: Any rate.
        min_s: Least shift tried; negative where the effect's stamps may be early.
        max_s: Largest shift tried; shorter than half the motion's period.
        step_s: Between shifts; refined by a parabola through the best three.

    Raises:
        InvalidValueError: the effect does not follow the cause at any shift, or the best one is at the end of the
            range.
    """
    shifts = np.arange(min_s, max_s + step_s / 2, step_s)
    inside = (effect.time_s - max_s >= cause.time_s[0]) & (effect.time_s - min_s <= cause.time_s[-1])
    time, value = effect.time_s[inside], effect.value[inside]
    if len(time) < MIN_SAMPLES:
        raise InvalidValueError("the two signals hardly overlap")
    centre, scale = cause.value.mean(), max(float(cause.value.std()), 1e-9)
    spread = float(((value - value.mean()) ** 2).sum())
    residuals = np.empty(len(shifts))
    for k, shift in enumerate(shifts):
        x = (np.interp(time - shift, cause.time_s, cause.value) - centre) / scale
        basis = np.stack([np.ones_like(x), x, x * x], axis=1)
        fit = basis @ np.linalg.lstsq(basis, value, rcond=None)[0]
        residuals[k] = ((value - fit) ** 2).sum()
    best = int(residuals.argmin())
    if spread <= 0.0 or residuals[best] > (1.0 - MIN_EXPLAINED) * spread:
        raise InvalidValueError("nothing in the measured signal follows the motion")
    if best in (0, len(shifts) - 1):
        raise InvalidValueError(f"the delay lies outside {min_s:g}..{max_s:g} s")
    before, here, after = residuals[best - 1 : best + 2]
    bend = before - 2.0 * here + after
    return float(shifts[best] + (0.5 * (before - after) / bend * step_s if bend > 0.0 else 0.0))


def onset_s(signal: Signal, begin_s: float, share: float = 0.05) -> float:
    """Return when a signal has gone `share` of its whole way, after `begin_s` [s since then].

    Raises:
        InvalidValueError: it does not move.
    """
    part = signal.window(begin_s - 0.05, float(signal.time_s[-1]))
    way = abs(part.value - part.value[0])
    if way.max() <= 0.0:
        raise InvalidValueError("the signal does not move")
    k = int((way >= share * way.max()).argmax())
    if k == 0:
        return 0.0
    step = way[k] - way[k - 1]
    part_of_step = (share * way.max() - way[k - 1]) / step if step > 0.0 else 1.0
    at_s = part.time_s[k - 1] + part_of_step * (part.time_s[k] - part.time_s[k - 1])
    return max(0.0, float(at_s) - begin_s)


def picture_signal(pictures: Float[np.ndarray, "n pixels"]) -> Float[np.ndarray, " n"]:
    """Return one number per picture that changes with what moves: its part along their first principal component."""
    centred = pictures - pictures.mean(axis=0)
    gram = centred @ centred.T
    values, vectors = np.linalg.eigh(gram)
    signal: np.ndarray = vectors[:, -1] * np.sqrt(max(float(values[-1]), 0.0))
    return signal
