"""The verdict on a replay: every recorded answer again, to the last bit, and no other."""

import numpy as np
import pytest

from glue_bringup.loop.replay_comparison import ReplayComparison
from glue_perception.types import ActionChunk, KeyPatches


def patches(stamp_ns: int, x_px: float = 10.0) -> KeyPatches:
    one = np.array([0])
    return KeyPatches(stamp_ns, np.array([[1, 1]]), np.array([[x_px, 12.0]]), np.array([True]), one, one)


def chunk(stamp_ns: int, x_m: float = 0.4) -> ActionChunk:
    return ActionChunk(
        stamp_ns, 0.1, np.full((4, 3), x_m), np.tile([1.0, 0, 0, 0, 1, 0], (4, 1)), np.zeros(4)
    )


@pytest.fixture
def comparison() -> ReplayComparison:
    return ReplayComparison([patches(1), patches(2)], [chunk(2)])


def test_the_same_again(comparison) -> None:
    assert not comparison.identical
    for answer in (patches(1), patches(2)):
        comparison.key_patches(answer)
    assert not comparison.identical
    comparison.chunk(chunk(2))
    assert comparison.identical
    assert "2 of 2 frames and 1 of 1 chunks" in comparison.words


@pytest.mark.parametrize("wrong", ["patches", "chunk", "another chunk"])
def test_one_bit_is_enough(comparison, wrong) -> None:
    comparison.key_patches(patches(1, np.nextafter(10.0, 11.0) if wrong == "patches" else 10.0))
    comparison.key_patches(patches(2))
    comparison.chunk(chunk(2, np.nextafter(0.4, 1.0) if wrong == "chunk" else 0.4))
    if wrong == "another chunk":
        comparison.chunk(chunk(1))
    assert not comparison.identical


def test_the_first_answer_to_a_frame_counts(comparison) -> None:
    comparison.key_patches(patches(1, 11.0))
    comparison.key_patches(patches(1))
    comparison.key_patches(patches(2))
    comparison.chunk(chunk(2))
    assert not comparison.identical


def test_waiting_ends_with_the_answer(comparison) -> None:
    assert not comparison.wait_for(lambda: comparison.chunk_came(2), 0.01)
    comparison.chunk(chunk(2))
    assert comparison.wait_for(lambda: comparison.chunk_came(2), 0.01)
    assert comparison.has_chunk(2) and not comparison.has_chunk(1)
