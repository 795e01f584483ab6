"""One process of an experiment: runs the episodes it is given, with a twin, a policy and OpenGL of its own."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, lru_cache
from multiprocessing.connection import wait

import cv2

from glue_bringup.experiment.episodes import EpisodeRow, joined
from glue_bringup.experiment.plan import Cell
from glue_bringup.loop.episode import refused_episode
from glue_bringup.loop.pilot import Pilot
from glue_bringup.loop.sync_session import SyncSession
from glue_bringup.sim.ood import get_condition
from glue_bringup.task_config import load_task
from glue_perception.errors import CheckpointError, QueryError
from glue_perception.provenance import provenance

_VERSION = "version."


@dataclass
class _Open:
    """The session of the cell that this process worked on last."""

    cell: Cell
    session: SyncSession
    stack: ExitStack


_open: _Open | None = None


def start_worker() -> None:
    """Make this process one core's worth, deaf to Ctrl-C (its parent answers), and mortal with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()
    if parent is not None:
        # A killed parent cannot stop its children, and they would wait for work for ever.
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def run_episode(cell: Cell, seed: int) -> EpisodeRow:
    """Run one episode; the cell's session stays open for the next one.

    An episode whose objects are not found in the first frame is a failure, as it would be on the robot.

    Raises:
        CheckpointError: the checkpoint was changed since the experiment began.
    """
    session = _session(cell)
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        result = session.run(seed, None)
    except QueryError as error:
        result = refused_episode(seed, str(error))
    _close_at_exit()
    return EpisodeRow(
        method=cell.method,
        task=cell.task,
        condition=cell.condition,
        seed=seed,
        success=result.success,
        duration_s=round(result.duration_s, 3),
        tracked_share=result.tracked_share,
        frames=result.frames,
        chunks=result.chunks,
        deadlines=result.deadlines,
        deadline_misses=result.deadline_misses,
        holds=sum(result.holds.values()),
        hold_reasons=joined(result.holds),
        perception_events=joined(result.perception_events),
        failure=result.failure,
        policy=cell.policy,
        checkpoint=cell.checkpoint,
        fingerprint=cell.fingerprint,
        setting=cell.setting,
        git_revision=_provenance()["git_revision"],
        versions=_versions(),
        wall_s=round(time.perf_counter() - wall, 3),
        cpu_s=round(time.process_time() - cpu, 3),
    )


def _session(cell: Cell) -> SyncSession:
    global _open
    if _open is not None and _open.cell == cell:
        return _open.session
    close_session()
    task = load_task(cell.task_source)
    pilot = _pilot(cell.task_source, cell.checkpoint)
    if pilot.fingerprint != cell.fingerprint:
        raise CheckpointError(
            f"the checkpoint {cell.checkpoint} was changed while the experiment ran; start it again"
        )
    stack = ExitStack()
    session = stack.enter_context(SyncSession(task, pilot, get_condition(cell.condition)))
    _open = _Open(cell, session, stack)
    return session


@lru_cache(maxsize=1)
def _pilot(task_source: str, checkpoint: str) -> Pilot:
    """Return who flies; kept for the next condition, as loading and recording its graphs takes seconds."""
    return Pilot(load_task(task_source), checkpoint)


@cache
def _close_at_exit() -> None:
    """Free the session before OpenGL's own clean-up, which was registered earlier and so comes later."""
    atexit.register(close_session)


def close_session() -> None:
    """Free what the last cell held."""
    global _open
    if _open is not None:
        _open.stack.close()
        _open = None


@cache
def _provenance() -> dict[str, str]:
    return provenance()


@cache
def _versions() -> str:
    found = {"python": _provenance()["python"]}
    found.update(
        (key.removeprefix(_VERSION), value)
        for key, value in _provenance().items()
        if key.startswith(_VERSION)
    )
    return joined(found)
