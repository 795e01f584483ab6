"""Statistics of a dataset's features as LeRobot keeps them: range, mean, deviation, count and quantiles."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int, UInt8

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}

Statistics = dict[str, np.ndarray]


def statistics_of(values: np.ndarray) -> Statistics:
    """Return the statistics of rows [t ...] for each element of a row."""
    rows = values.astype(np.float64)
    result = {
        "min": rows.min(axis=0),
        "max": rows.max(axis=0),
        "mean": rows.mean(axis=0),
        "std": rows.std(axis=0),
        "count": np.array([len(rows)]),
    }
    return result | {name: np.quantile(rows, q, axis=0) for name, q in QUANTILES.items()}


def channel_histogram(rgb: UInt8[np.ndarray, "t h w 3"]) -> Int[np.ndarray, "3 256"]:
    """Return how often each value occurs in each channel."""
    total = np.zeros((3, 256), dtype=np.int64)
    for image in rgb:
        for channel in range(3):
            total[channel] += np.bincount(image[..., channel].reshape(-1), minlength=256)
    return total


def image_statistics(histogram: Int[np.ndarray, "3 256"], frames: int) -> Statistics:
    """Return the statistics per channel [3 1 1] of images in 0..1, exact."""
    value = np.arange(256) / 255.0
    share = histogram / histogram.sum(axis=1, keepdims=True)
    there = histogram > 0
    mean = share @ value
    below = share.cumsum(axis=1)
    result = {
        "min": value[there.argmax(axis=1)],
        "max": value[255 - there[:, ::-1].argmax(axis=1)],
        "mean": mean,
        "std": np.sqrt(np.maximum(share @ value**2 - mean**2, 0.0)),
    }
    result |= {name: value[(below >= q - 1e-12).argmax(axis=1)] for name, q in QUANTILES.items()}
    shaped = {name: values.reshape(3, 1, 1) for name, values in result.items()}
    return shaped | {"count": np.array([frames])}
