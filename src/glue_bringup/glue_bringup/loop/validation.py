"""Evaluation during training: episodes in the synchronous twin that choose the best checkpoint of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from glue_bringup.loop.episode import EpisodeResult, summarise
from glue_bringup.loop.pilot import Pilot
from glue_bringup.loop.progress import EpisodeProgress
from glue_bringup.loop.run import run_episodes
from glue_bringup.loop.sync_session import SyncSession
from glue_bringup.sim.rendering import require_rendering
from glue_bringup.task_config import TaskConfig
from glue_perception.bags.reader import BagReader
from glue_perception.errors import BagError, ConfigError
from glue_perception.provenance import git_revision
from glue_policy.training.evaluation import Evaluation

VALIDATION_SEEDS = range(50_000, 100_000)
"""Placements that choose a checkpoint. Demonstrations are recorded from seed 0 on and `glue eval` counts from 100,000
on, so that no placement serves two of these ends."""

PROGRESS_FILE = "evaluation.episodes.jsonl"


class Validation:
    """Tries checkpoints of one run out, all on the same placements.

    Finished episodes are kept in the run's directory, so that an interrupted evaluation goes on where it stopped.

    Args:
        task: To be solved, in simulation.
        episodes: Per evaluation.
        directory: Of the run.
        demonstrations: Folder of the bags that the run learns from.

    Raises:
        ConfigError: too many episodes, or a demonstration shows one of their placements.
        RenderingError: no OpenGL library is available.
    """

    def __init__(self, task: TaskConfig, episodes: int, directory: Path, demonstrations: Path) -> None:
        if episodes > len(VALIDATION_SEEDS):
            raise ConfigError(f"evaluate_episodes must be at most {len(VALIDATION_SEEDS)}, not {episodes}")
        self._task = task
        self._seeds = VALIDATION_SEEDS[:episodes]
        self._progress_path = directory / PROGRESS_FILE
        _require_other_placements(demonstrations, self._seeds)
        require_rendering()

    def __call__(self, checkpoint: Path, step: int, stop: Callable[[], bool]) -> Evaluation | None:
        """Run the episodes that are not done yet; see `glue_policy.training.evaluation.Evaluate`."""
        pilot = Pilot(self._task, str(checkpoint))
        progress = EpisodeProgress(
            self._progress_path,
            {"task": self._task.task, "step": str(step), "fingerprint": pilot.fingerprint},
        )

        def add(result: EpisodeResult) -> None:
            progress.add(result)
            if stop():
                raise _StoppedError

        with SyncSession(self._task, pilot) as session:
            try:
                results = run_episodes(session, self._seeds, None, progress.load(), add)
            except _StoppedError:
                return None
        report = summarise(
            self._task.task,
            session.host,
            pilot.name,
            self._seeds.start,
            results,
            session.latencies,
            git_revision(),
        )
        progress.remove()
        return Evaluation(len(results), sum(r.success for r in results), report)


class _StoppedError(Exception):
    pass


def _require_other_placements(demonstrations: Path, seeds: range) -> None:
    for path in sorted(p for p in demonstrations.iterdir() if p.is_dir() and not p.name.startswith(".")):
        try:
            with BagReader(path) as bag:
                seed = bag.metadata.get("seed", "")
        except BagError:
            continue  # reading the training set says what is wrong with it
        if seed.isdigit() and int(seed) in seeds:
            raise ConfigError(
                f"{path} was recorded with seed {seed}, a placement that evaluations in training use; "
                f"record demonstrations with seeds below {VALIDATION_SEEDS.start}"
            )
