"""Shares of tracked, occluded and lost key-patches over a stream, in all and by query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from glue_perception.types import KeyPatches, TrackHealth


class TrackStatistics:
    """Counts the health of every key-patch of every frame given to `add`."""

    def __init__(self, queries: Sequence[str]) -> None:
        self._queries = tuple(queries)
        self._counts = np.zeros((len(self._queries), len(TrackHealth)), np.int64)
        self.tracked_by_frame: list[int] = []

    @property
    def num_frames(self) -> int:
        """Frames added so far."""
        return len(self.tracked_by_frame)

    def add(self, key_patches: KeyPatches) -> None:
        """Count one frame."""
        np.add.at(self._counts, (key_patches.query_index, key_patches.health), 1)
        self.tracked_by_frame.append(int(np.sum(key_patches.health == TrackHealth.TRACKED)))

    def shares(self) -> Float[np.ndarray, "queries_and_all 3"]:
        """Return tracked, occluded and lost shares, one row per query and a last one over all; NaN-free."""
        counts = np.vstack([self._counts, self._counts.sum(axis=0)])
        shares: np.ndarray = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        return shares

    def as_mapping(self) -> dict[str, Any]:
        """Return plain values for a report."""
        names = [state.name.lower() for state in TrackHealth]
        rows = [dict(zip(names, np.round(row, 4).tolist(), strict=True)) for row in self.shares()]
        return {
            "num_frames": self.num_frames,
            "shares": rows[-1],
            "shares_by_query": dict(zip(self._queries, rows[:-1], strict=True)),
            "tracked_by_frame": self.tracked_by_frame,
        }

    def table(self) -> str:
        """Return the shares as lines of text."""
        width = max(len(name) for name in (*self._queries, "query", "all"))
        lines = [f"{'query':<{width}}" + "".join(f"{state.name.lower():>10}" for state in TrackHealth)]
        for name, row in zip((*self._queries, "all"), self.shares(), strict=True):
            lines.append(f"{name:<{width}}" + "".join(f"{share:>10.1%}" for share in row))
        return "\n".join(lines)
