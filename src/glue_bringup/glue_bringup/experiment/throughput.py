"""How fast episodes go by: simulated time against the wall's and the processor's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Throughput:
    """How fast episodes went by.

    Attributes:
        simulated_s: Of the episodes run now.
        wall_s: That they took.
        cpu_s: Processor time that they took, all threads.
        jobs: Processes.
    """

    simulated_s: float
    wall_s: float
    cpu_s: float
    jobs: int = 1

    @property
    def per_process(self) -> float:
        """Simulated seconds per wall second and process."""
        return self.simulated_s / (self.wall_s * self.jobs) if self.wall_s else 0.0

    @property
    def per_cpu_second(self) -> float:
        """Simulated seconds per second of processor time: what one undisturbed core gives."""
        return self.simulated_s / self.cpu_s if self.cpu_s else 0.0

    def __str__(self) -> str:
        where = "in one process" if self.jobs == 1 else f"in each of {self.jobs} processes"
        return (
            f"{self.per_process:.2f} simulated seconds per second {where}, "
            f"{self.per_cpu_second:.2f} per second of processor time"
        )


class Meter:
    """Filled by `measure_throughput`."""

    wall_s = 0.0
    cpu_s = 0.0

    def throughput(self, simulated_s: float) -> Throughput:
        """Return the throughput for what was simulated meanwhile, in this one process."""
        return Throughput(simulated_s, self.wall_s, self.cpu_s)


@contextmanager
def measure_throughput() -> Iterator[Meter]:
    """Measure a block's wall and processor time."""
    meter = Meter()
    wall, cpu = time.perf_counter(), time.process_time()
    yield meter
    meter.wall_s, meter.cpu_s = time.perf_counter() - wall, time.process_time() - cpu
