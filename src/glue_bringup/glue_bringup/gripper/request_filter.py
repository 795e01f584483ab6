"""Which of a policy's trembling requests the gripper is to follow: dead band, hysteresis, debouncing. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TakenRequest:
    """A request that is to be followed.

    Attributes:
        width_m: Opening.
        not_before_s: When it may be carried out; another request until then replaces or cancels it.
    """

    width_m: float
    not_before_s: float


class RequestFilter:
    """Every motion blocks the hand until it has ended, so a request is followed only where it means something.

    A request within `dead_band_m` of the one in force is ignored, and cancels a waiting one. One that goes on in the
    same direction is taken at once. A turn (closing after opening or the reverse) must go back by
    `hysteresis_m` at least and stand for `debounce_s`, so that an output on the edge between open and closed does not
    make the hand clap.

    Args:
        dead_band_m: See above.
        hysteresis_m: See above.
        debounce_s: See above.
    """

    def __init__(self, dead_band_m: float, hysteresis_m: float, debounce_s: float) -> None:
        self._dead_band_m, self._hysteresis_m, self._debounce_s = dead_band_m, hysteresis_m, debounce_s
        self._in_force_m: float | None = None
        self._direction = 0
        self._waiting: TakenRequest | None = None

    @property
    def waiting(self) -> TakenRequest | None:
        """The newest request taken that has not been carried out."""
        return self._waiting

    def request(self, width_m: float, now_s: float) -> None:
        """Note a request."""
        if self._waiting is not None and self._waiting.not_before_s <= now_s:
            self._put_in_force(self._waiting)
        if self._in_force_m is None:
            self._waiting = TakenRequest(width_m, now_s)
            return
        change_m = width_m - self._in_force_m
        turns = change_m * self._direction < 0.0
        if abs(change_m) < (self._hysteresis_m if turns else self._dead_band_m):
            if self._waiting is not None and self._waiting.not_before_s > now_s:
                self._waiting = None
            return
        since_s = now_s + (self._debounce_s if turns else 0.0)
        if self._waiting is not None and self._waiting.not_before_s > now_s:
            since_s = self._waiting.not_before_s if turns else now_s  # the turn has begun before
        self._waiting = TakenRequest(width_m, since_s)

    def take(self, now_s: float) -> float | None:
        """Return the width to go to now [m] and put it in force, or None."""
        waiting = self._waiting
        if waiting is None or waiting.not_before_s > now_s:
            return None
        self._put_in_force(waiting)
        self._waiting = None
        return waiting.width_m

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting = None

    def _put_in_force(self, request: TakenRequest) -> None:
        if self._in_force_m is not None and request.width_m != self._in_force_m:
            self._direction = 1 if request.width_m > self._in_force_m else -1
        self._in_force_m = request.width_m
