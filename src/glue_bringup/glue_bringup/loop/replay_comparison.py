"""What a graph made of a bag against what the bag holds, bit for bit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np

from glue_perception.types import ActionChunk, KeyPatches

PATCH_FIELDS = ("row_col", "xy_px", "visible", "health", "query_index")
CHUNK_FIELDS = ("dt_s", "position_m", "rotation_6d", "gripper_width_m", "frozen")


class ReplayComparison:
    """Collects answers by stamp; any thread. The first answer to a stamp counts.

    Args:
        patches: As recorded.
        chunks: As recorded.
    """

    def __init__(self, patches: Sequence[KeyPatches], chunks: Sequence[ActionChunk]) -> None:
        self._patches = {p.stamp_ns: p for p in patches}
        self._chunks = {c.stamp_ns: c for c in chunks}
        self._new_patches: dict[int, bool] = {}
        self._new_chunks: dict[int, bool] = {}
        self._changed = threading.Condition()

    def has_chunk(self, stamp_ns: int) -> bool:
        """Return whether the bag holds a chunk of this stamp."""
        return stamp_ns in self._chunks

    def key_patches(self, patches: KeyPatches) -> None:
        """Take key-patches."""
        recorded = self._patches.get(patches.stamp_ns)
        with self._changed:
            self._new_patches.setdefault(
                patches.stamp_ns, recorded is None or _same(patches, recorded, PATCH_FIELDS)
            )
            self._changed.notify_all()

    def chunk(self, chunk: ActionChunk) -> None:
        """Take a chunk."""
        recorded = self._chunks.get(chunk.stamp_ns)
        with self._changed:
            self._new_chunks.setdefault(
                chunk.stamp_ns, recorded is not None and _same(chunk, recorded, CHUNK_FIELDS)
            )
            self._changed.notify_all()

    def patches_came(self, stamp_ns: int) -> bool:
        """Return whether there are key-patches of this stamp."""
        return stamp_ns in self._new_patches

    def chunk_came(self, stamp_ns: int) -> bool:
        """Return whether there is a chunk of this stamp."""
        return stamp_ns in self._new_chunks

    def wait_for(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until a condition holds; return whether it does."""
        with self._changed:
            return self._changed.wait_for(condition, timeout_s)

    @property
    def identical(self) -> bool:
        """Whether every recorded answer came again, to the last bit, and no other."""
        return (
            all(self._new_patches.values())
            and all(self._new_chunks.values())
            and self._new_patches.keys() >= self._patches.keys()
            and self._new_chunks.keys() == self._chunks.keys()
        )

    @property
    def words(self) -> str:
        """How it came out."""
        return (
            f"replayed: key-patches of {sum(self._new_patches.values())} of {len(self._patches)} frames and "
            f"{sum(self._new_chunks.values())} of {len(self._chunks)} chunks are those of the bag, bit for bit"
        )


def _same(a: KeyPatches | ActionChunk, b: KeyPatches | ActionChunk, fields: Sequence[str]) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in fields)
