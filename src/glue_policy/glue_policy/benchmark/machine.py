"""What the machine at hand can do: the measured peak of its matrix units, and what it was busy with."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

SIZE = 1024
"""Side of the matrices: large enough for the peak, small enough for the caches."""

REPETITIONS = 20
MATRIX_FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "avx_vnni", "amx_bf16", "amx_int8")


def matrix_peak_gflops(threads: int) -> dict[str, float]:
    """Return the best of some products of large square matrices in GFLOP/s (2 n^3 each), by precision, in torch.

    Sets torch's number of threads.
    """
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(SIZE, SIZE, generator=generator)
    whole = torch.randint(-100, 100, (SIZE, SIZE), dtype=torch.int8, generator=generator)
    half = a.bfloat16()
    products: dict[str, Callable[[], torch.Tensor]] = {
        "float32": lambda: a @ a,
        "bfloat16": lambda: half @ half,
        "int8": lambda: torch._int_mm(whole, whole),
    }
    peaks = {}
    for name, product in products.items():
        product()
        best_s = float("inf")
        for _ in range(REPETITIONS):
            start = time.perf_counter()
            product()
            best_s = min(best_s, time.perf_counter() - start)
        peaks[name] = round(2.0 * SIZE**3 / best_s / 1e9, 1)
    return peaks


def about_machine() -> dict[str, Any]:
    """Return the processor, its matrix instructions, cores, and the load of the last minute."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    pairs = (line.partition(":") for line in lines)
    known = {name.strip(): value.strip() for name, _, value in pairs}
    flags = set(known.get("flags", "").split())
    return {
        "processor": known.get("model name", platform.processor() or "unknown"),
        "matrix_instructions": [flag for flag in MATRIX_FLAGS if flag in flags],
        "cores": os.cpu_count(),
        "load_1_min": round(os.getloadavg()[0], 2),
    }
