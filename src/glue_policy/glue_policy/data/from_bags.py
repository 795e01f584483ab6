"""From a folder of bags to a training set on disk, made once and made again when something has changed."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from tqdm import tqdm

from glue_perception.bags.reader import BagReader, UnfinishedBagWarning
from glue_perception.errors import BagError
from glue_policy.data.episodes import PointsOf, load_episode
from glue_policy.data.training_set import SameEverywhere, TrainingSet, TrainingSetWriter, read_index

SUCCESS = "success"
"""Outcome of a demonstration that is worth training on."""

SETS_DIRECTORY = ".training_set"
"""Beside the bags."""

PROBLEMS_NAMED = 5
"""How many of the faulty bags an error lists."""


@dataclass(frozen=True)
class PointCloudSource:
    """How the point clouds of a set are made.

    Attributes:
        make: See `PointsOf`.
        key: All that the result depends on, as plain JSON values: with another key the set is made again.
    """

    make: PointsOf
    key: dict[str, Any]


def training_set_of(
    directory: Path, image_size_px: int, dt_s: float, points: PointCloudSource | None = None
) -> TrainingSet:
    """Return the successful demonstrations in the sub-folders of `directory`, in the order of their names.

    The bags are read once, one at a time; the set is kept in `directory/.training_set` and made again when a bag (its
    files' sizes and times), or what is asked for, has changed. One process makes it, others wait. Bags of failed,
    aborted or unfinished episodes are named and left out. All faulty bags are looked for before the error is raised.

    Args:
        directory: Holds a folder per bag.
        image_size_px: Side of the policy's images.
        dt_s: Time between steps.
        points: How to make point clouds from depth, for policies that need them.

    Raises:
        BagError: bags are unreadable or do not go together (up to five are named), or none is a success.
    """
    bags = bags_in(directory)
    if not bags:
        raise BagError(f"there are no demonstrations to train on in {directory}: it holds no folders of bags")
    facts = {
        "asked": {
            "image_size_px": image_size_px,
            "dt_s": dt_s,
            "points": None if points is None else points.key,
        },
        "sources": {path.name: _file_stamps(path) for path in bags},
    }
    place = directory / SETS_DIRECTORY / _name(image_size_px, dt_s, points)
    ready = _reusable(place, facts)
    if ready is None:
        with _one_at_a_time(place):
            # Another process may have made it while this one waited.
            ready = _reusable(place, facts, say=True)
            if ready is None:
                make = None if points is None else points.make
                ready = _make(place, bags, facts, image_size_px, dt_s, make)
    return ready


def bags_in(directory: Path) -> list[Path]:
    """Return the folders in a directory, by name; none if there is no such directory."""
    if not directory.is_dir():
        return []
    return sorted(path for path in directory.iterdir() if path.is_dir() and not path.name.startswith("."))


def _file_stamps(bag: Path) -> dict[str, list[int]]:
    files = sorted(path for path in bag.iterdir() if path.is_file())
    return {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in files}


def _name(image_size_px: int, dt_s: float, points: PointCloudSource | None) -> str:
    return f"{image_size_px}px_{round(1000 * dt_s)}ms{'' if points is None else '_points'}"


def _reusable(place: Path, facts: Mapping[str, Any], *, say: bool = False) -> TrainingSet | None:
    """Return the set if it is whole and was made from these bags as they are now."""
    if not place.exists():
        return None
    try:
        index = read_index(place)
        changed = [what for what, value in facts.items() if index.get(what) != value]
        if not changed:
            return TrainingSet.open(place)
        reason = "the bags have changed" if "sources" in changed else "other settings are asked for"
    except BagError as error:
        reason = str(error)
    if say:
        tqdm.write(f"the training set is made again: {reason}")
    return None


@contextmanager
def _one_at_a_time(place: Path) -> Iterator[None]:
    try:
        place.parent.mkdir(exist_ok=True)
        lock = FileLock(place.with_name(f"{place.name}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            tqdm.write("another process makes this training set; waiting for it")
            lock.acquire()
    except OSError as error:
        raise BagError(
            f"cannot write a training set beside the demonstrations, in {place.parent} ({error.strerror}); copy them "
            "to a place that can be written"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _make(
    place: Path,
    bags: list[Path],
    facts: Mapping[str, Any],
    image_size_px: int,
    dt_s: float,
    points_of: PointsOf | None,
) -> TrainingSet:
    for leftover in place.parent.glob(
        f"{place.name}.partial-*"
    ):  # of a process that was killed; the lock is ours
        shutil.rmtree(leftover, ignore_errors=True)
    problems: list[str] = []
    same = SameEverywhere()
    left_out: dict[str, str] = {}
    with TrainingSetWriter(place) as writer:
        for bag in tqdm(bags, desc="read", unit="bag", dynamic_ncols=True):
            try:
                outcome = outcome_of(bag)
                if outcome != SUCCESS:
                    left_out[bag.name] = outcome
                    tqdm.write(f"left out, as its outcome is {outcome}: {bag}")
                    continue
                episode = load_episode(bag, image_size_px, dt_s, points_of)
            except BagError as error:
                problems.append(str(error))
                continue
            same.add(bag.name, episode)
            if not problems and not same.problems():
                writer.add(bag.name, episode)
        problems += same.problems()
        if problems:
            raise BagError(_listed(problems))
        if len(left_out) == len(bags):
            raise BagError(
                f"there are no demonstrations to train on in {place.parents[1]}: none of its bags is a success"
            )
        return writer.finish({**facts, "left_out": left_out})


def _listed(problems: list[str]) -> str:
    more = len(problems) - PROBLEMS_NAMED
    text = "; ".join(problems[:PROBLEMS_NAMED])
    return f"{text}; and {more} more" if more > 0 else text


def outcome_of(path: Path) -> str:
    """Return how the episode ended; a bag that says nothing and was not made by our recorder counts as a success."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnfinishedBagWarning)
        with BagReader(path) as bag:
            return bag.metadata.get("outcome", "unfinished" if "task_config" in bag.metadata else SUCCESS)
