"""Ways from chunk to chunk compared: every seam mode under every added delay, on the same seeds, in the twin."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from tqdm import tqdm

from glue_bringup.loop.episode import EpisodeResult
from glue_bringup.loop.pilot import EXPERT, Pilot
from glue_bringup.loop.progress import EpisodeProgress
from glue_bringup.loop.sync_session import SyncSession
from glue_bringup.task_config import TaskConfig
from glue_perception.config import to_mapping
from glue_perception.errors import ConfigError
from glue_perception.timing import LatencyRecorder
from glue_policy.chunk_seams import SeamMode
from glue_policy.evaluation.statistics import wilson_interval

JUMPS = ("p50_mm", "p95_mm", "max_mm", "p95_deg")


@dataclass(frozen=True)
class SeamCell:
    """How one mode did under one delay.

    Attributes:
        mode: See `SeamMode`.
        added_delay_s: On top of the task's own `sync_latency_s`.
        results: One per seed; empty if the mode was refused.
        refusal: Why the policy cannot fly in this mode, or empty.
    """

    mode: SeamMode
    added_delay_s: float
    results: tuple[EpisodeResult, ...] = ()
    refusal: str = ""

    def summary(self) -> dict[str, Any]:
        """Return the cell as JSON values.

        Of the seam jumps `p50_mm`, `p95_mm` and `p95_deg` are means of the episodes' own percentiles, `max_mm` is the
        largest of all; an episode with fewer than two chunks has none.
        """
        head: dict[str, Any] = {"mode": self.mode.value, "added_delay_s": self.added_delay_s}
        if self.refusal:
            return {**head, "refused": self.refusal}
        results = self.results
        successes = sum(result.success for result in results)
        jumps = [result.seam_jumps for result in results if result.seam_jumps]
        values: dict[str, float | None] = dict.fromkeys(JUMPS)
        if jumps:
            values = {name: round(fmean(jump[name] for jump in jumps), 3) for name in JUMPS}
            values["max_mm"] = max(jump["max_mm"] for jump in jumps)
        times_s = [result.duration_s for result in results if result.success]
        return {
            **head,
            "episodes": len(results),
            "successes": successes,
            "wilson_95": [round(bound, 4) for bound in wilson_interval(successes, len(results))],
            "seam_jumps": values,
            "mean_duration_s": round(fmean(result.duration_s for result in results), 3),
            "mean_success_s": round(fmean(times_s), 3) if times_s else None,
            "chunks": sum(result.chunks for result in results),
            "deadlines": sum(result.deadlines for result in results),
            "deadline_misses": sum(result.deadline_misses for result in results),
            "holds": sum(sum(result.holds.values()) for result in results),
            "results": [vars(result) for result in results],
        }


class SeamBenchmark:
    """Flies one policy in every mode under every delay.

    Finished episodes are kept in a folder until `forget`, so that an interrupted run goes on where it stopped.

    Args:
        task: Its seams' other settings and its own latency stay as they are.
        policy: A checkpoint's directory or the name of a shipped one; None for the task's own.
        modes: To compare.
        delays_s: Added to the task's `sync_latency_s`.
        seeds: One episode each, the same in every cell.
        folder: For the finished episodes.

    Raises:
        ConfigError: the expert is to fly, whose actions have no seams; or a delay is out of range.
        CheckpointError: the checkpoint is missing or damaged.
    """

    def __init__(
        self,
        task: TaskConfig,
        policy: str | None,
        modes: Sequence[SeamMode],
        delays_s: Sequence[float],
        seeds: Sequence[int],
        folder: Path,
    ) -> None:
        if (policy or task.policy.checkpoint) == EXPERT:
            raise ConfigError("the expert's actions follow each other without a seam; give a checkpoint")
        self._cells = [
            (mode, delay_s, setting(task, mode, delay_s)) for mode in modes for delay_s in delays_s
        ]
        self._task, self._seeds, self._folder = task, seeds, folder
        self._pilots = {mode: Pilot(setting(task, mode, 0.0), policy) for mode in modes}
        self.pilot = next(iter(self._pilots.values()))
        self._progress: list[EpisodeProgress] = []

    def run(self) -> list[SeamCell]:
        """Run every episode that is not done yet and return the cells, all delays of a mode after each other.

        Raises:
            ConfigError: the policy can fly in none of the modes.
        """
        refusals = {mode: self._refusal(mode) for mode in self._pilots}
        if all(refusals.values()):
            raise ConfigError("; ".join(refusals.values()))
        flown = sum(not refusals[mode] for mode, _, _ in self._cells)
        cells = []
        with tqdm(total=flown * len(self._seeds), unit="episode", dynamic_ncols=True) as bar:
            for mode, delay_s, task in self._cells:
                if refusals[mode]:
                    cells.append(SeamCell(mode, delay_s, refusal=refusals[mode]))
                    continue
                bar.set_postfix_str(f"{mode.value} +{1e3 * delay_s:.0f} ms", refresh=False)
                results = []
                for result in self._episodes(mode, delay_s, task):
                    results.append(result)
                    bar.update()
                cells.append(SeamCell(mode, delay_s, tuple(results)))
        return cells

    def forget(self) -> None:
        """Delete the finished episodes: a report holds them."""
        for progress in self._progress:
            progress.remove()
        if self._folder.is_dir() and not any(self._folder.iterdir()):
            self._folder.rmdir()

    def _refusal(self, mode: SeamMode) -> str:
        try:
            self._pilots[mode].source(self._seeds[0], lambda: None, LatencyRecorder())
        except ConfigError as error:
            return str(error)
        return ""

    def _episodes(self, mode: SeamMode, delay_s: float, task: TaskConfig) -> Iterator[EpisodeResult]:
        pilot = self._pilots[mode]
        text = json.dumps(to_mapping(task.for_simulation()), sort_keys=True)
        subject = {
            "setting": hashlib.sha256(text.encode()).hexdigest(),
            "policy": pilot.name,
            "fingerprint": pilot.fingerprint,
        }
        progress = EpisodeProgress(self._folder / f"{mode.value}_{1e3 * delay_s:g}_ms.jsonl", subject)
        self._progress.append(progress)
        done = {result.seed: result for result in progress.load()}
        missing = any(seed not in done for seed in self._seeds)
        if not missing:
            yield from (done[seed] for seed in self._seeds)
            return
        with SyncSession(task, pilot) as session:
            for seed in self._seeds:
                if seed not in done:
                    done[seed] = session.run(seed, None)
                    progress.add(done[seed])
                yield done[seed]


def setting(task: TaskConfig, mode: SeamMode, added_delay_s: float) -> TaskConfig:
    """Return the task with a seam mode and so much more delay from capture to chunk.

    Raises:
        ConfigError: a delay that is negative, or so long that the chunk is refused as too old.
    """
    oldest_s = task.safety.watchdogs.max_chunk_age_s
    latency_s = task.policy.sync_latency_s + added_delay_s
    if added_delay_s < 0.0 or latency_s >= min(1.0, oldest_s):
        raise ConfigError(
            f"an added delay must lie in 0..{min(1.0, oldest_s) - task.policy.sync_latency_s:g} s (the task's own "
            f"latency is {task.policy.sync_latency_s:g} s, and chunks older than {oldest_s:g} s are refused), "
            f"not {added_delay_s:g}"
        )
    seams = replace(task.policy.seams, mode=mode)
    return replace(task, policy=replace(task.policy, seams=seams, sync_latency_s=latency_s))
