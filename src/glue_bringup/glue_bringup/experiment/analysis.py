"""From rows to rates with their intervals, and to paired comparisons between methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from glue_bringup.experiment.config import ExperimentConfig
from glue_bringup.experiment.episodes import EpisodeRow
from glue_policy.evaluation.statistics import (
    PairedCounts,
    holm,
    mcnemar_exact,
    paired_difference_interval,
    wilson_interval,
)


@dataclass(frozen=True)
class CellResult:
    """How one method did in one cell.

    Attributes:
        method: As named in the experiment.
        policy: Its kind.
        task: The task's name.
        condition: Its canonical name.
        episodes: Run so far.
        successes: Of these.
        not_begun: Episodes that failed because the objects were not found in the first frame.
        interval: Wilson, 95 %.
        mean_success_s: Mean simulated time to success, None without any.
        tracked_share: Mean over episodes that began.
        miss_share: Deadlines missed.
        holds_per_episode: Holds by the safety supervisor.
    """

    method: str
    policy: str
    task: str
    condition: str
    episodes: int
    successes: int
    not_begun: int
    interval: tuple[float, float]
    mean_success_s: float | None
    tracked_share: float
    miss_share: float
    holds_per_episode: float

    @property
    def rate(self) -> float:
        """Success rate, 0 without episodes."""
        return self.successes / self.episodes if self.episodes else 0.0


@dataclass(frozen=True)
class Comparison:
    """Two methods on the same seeds of one task and condition.

    Attributes:
        task: The task's name.
        condition: Its canonical name.
        first: A method.
        second: Another; the difference is first less second.
        counts: Episode by episode.
        interval: Of the difference, 95 %, Tango's.
        p: McNemar's exact test.
        p_holm: The same, corrected for all comparisons of the experiment.
    """

    task: str
    condition: str
    first: str
    second: str
    counts: PairedCounts
    interval: tuple[float, float]
    p: float
    p_holm: float


def cell_results(rows: Sequence[EpisodeRow]) -> list[CellResult]:
    """Return one result per cell, in the order in which cells first appear."""
    cells: dict[tuple[str, str, str], list[EpisodeRow]] = {}
    for row in rows:
        cells.setdefault(row.cell, []).append(row)
    return [_result(cell) for cell in cells.values()]


def _result(rows: Sequence[EpisodeRow]) -> CellResult:
    begun = [row for row in rows if not row.failure]
    times_s = [row.duration_s for row in rows if row.success]
    deadlines = sum(row.deadlines for row in rows)
    return CellResult(
        method=rows[0].method,
        policy=rows[0].policy,
        task=rows[0].task,
        condition=rows[0].condition,
        episodes=len(rows),
        successes=len(times_s),
        not_begun=len(rows) - len(begun),
        interval=wilson_interval(len(times_s), len(rows)),
        mean_success_s=sum(times_s) / len(times_s) if times_s else None,
        tracked_share=sum(row.tracked_share for row in begun) / len(begun) if begun else 0.0,
        miss_share=sum(row.deadline_misses for row in rows) / deadlines if deadlines else 0.0,
        holds_per_episode=sum(row.holds for row in rows) / len(rows),
    )


def comparisons(config: ExperimentConfig, rows: Sequence[EpisodeRow]) -> list[Comparison]:
    """Return every comparison of two methods in a task and condition, over the seeds that both have run.

    With a reference, it is compared with each other method; without, every method with every later one.
    """
    outcomes: dict[tuple[str, str], dict[str, dict[int, bool]]] = {}
    for row in rows:
        outcomes.setdefault((row.task, row.condition), {}).setdefault(row.method, {})[row.seed] = row.success
    found = []
    for (task, condition), methods in outcomes.items():
        for first, second in _pairs(config, list(methods)):
            seeds = sorted(methods[first].keys() & methods[second].keys())
            counts = PairedCounts.of([methods[first][s] for s in seeds], [methods[second][s] for s in seeds])
            p = mcnemar_exact(counts)
            interval = paired_difference_interval(counts)
            found.append(Comparison(task, condition, first, second, counts, interval, p, p))
    corrected = holm([comparison.p for comparison in found])
    return [replace(c, p_holm=p) for c, p in zip(found, corrected, strict=True)]


def _pairs(config: ExperimentConfig, methods: Sequence[str]) -> list[tuple[str, str]]:
    if config.reference:
        others = [method for method in methods if method != config.reference]
        return [(config.reference, other) for other in others] if config.reference in methods else []
    return list(combinations(methods, 2))
