"""Runs what is missing of an experiment in parallel processes."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from tqdm import tqdm

from glue_bringup.experiment.config import ExperimentConfig
from glue_bringup.experiment.episodes import EpisodeFile, EpisodeRow, check_same_subject
from glue_bringup.experiment.plan import Cell
from glue_bringup.experiment.throughput import Throughput
from glue_bringup.experiment.worker import close_session, run_episode, start_worker
from glue_perception.errors import ConfigError, HardwareError


def run_missing(
    config: ExperimentConfig, cells: Sequence[Cell], file: EpisodeFile, redo: bool = False
) -> Throughput:
    """Run every episode that the file does not hold yet.

    Args:
        config: Seeds and processes.
        cells: From `plan_cells`.
        file: Gets a row per episode as it ends.
        redo: Whether results of other checkpoints or settings are dropped and run again, instead of refused.

    Raises:
        ConfigError: the file holds results of another checkpoint or setting.
        HardwareError: a process died.
    """
    _settle(file, cells, redo)
    done = {(*row.cell, row.seed) for row in file.rows}
    wanted = [(cell, seed) for cell in cells for seed in config.seeds]
    missing = [(cell, seed) for cell, seed in wanted if (*cell.key, seed) not in done]
    before = len(file.rows)
    start = time.perf_counter()
    if missing:
        jobs = min(config.jobs, len(missing))
        with tqdm(
            total=len(wanted), initial=len(wanted) - len(missing), unit="episode", dynamic_ncols=True
        ) as bar:
            for row in _run(missing, jobs):
                file.add(row)
                bar.update()
                bar.set_postfix_str(f"{row.method} {row.task} {row.condition}", refresh=False)
    new = file.rows[before:]
    return Throughput(
        simulated_s=sum(row.duration_s for row in new),
        wall_s=time.perf_counter() - start if missing else 0.0,
        cpu_s=sum(row.cpu_s for row in new),
        jobs=min(config.jobs, max(1, len(missing))),
    )


def rows_in_order(
    config: ExperimentConfig, cells: Sequence[Cell], rows: Sequence[EpisodeRow]
) -> list[EpisodeRow]:
    """Return the experiment's own rows, cell by cell and seed by seed, whatever order they were run in."""
    by_place = {(*row.cell, row.seed): row for row in rows}
    places = [(*cell.key, seed) for cell in cells for seed in config.seeds]
    return [by_place[place] for place in places if place in by_place]


def _settle(file: EpisodeFile, cells: Sequence[Cell], redo: bool) -> None:
    """Deal with results that do not belong together with what would be run now."""
    strange = check_same_subject(file.rows, cells)
    if not strange:
        return
    if redo:
        file.replace([row for row in file.rows if row not in strange])
        return
    row, now = strange[0], next(cell for cell in cells if cell.key == strange[0].cell)
    what = (
        f"checkpoint {row.fingerprint[:12]}, which is now {now.fingerprint[:12]}"
        if row.fingerprint != now.fingerprint
        else "another configuration of the task or the condition"
    )
    raise ConfigError(
        f"{len(strange)} of the episodes so far are of something else: method {row.method!r} at {row.task} "
        f"({row.condition}) was run with {what}; run them again with --redo, or choose another --output"
    )


def _run(missing: Sequence[tuple[Cell, int]], jobs: int) -> Iterator[EpisodeRow]:
    """Yield rows as they come. When the caller leaves early, episodes under way are finished and lost."""
    if jobs == 1:
        try:
            yield from (run_episode(cell, seed) for cell, seed in missing)
        finally:
            close_session()
        return
    with _pool(jobs) as pool:
        futures: list[Future[EpisodeRow]] = [pool.submit(run_episode, cell, seed) for cell, seed in missing]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise HardwareError(
                "a process of the experiment died (out of memory, or killed); run the same command again to go on, "
                "with fewer --jobs if memory was short"
            ) from error


@contextmanager
def _pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    # Forked processes would share the parent's threads' locks and its OpenGL state.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=start_worker)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
