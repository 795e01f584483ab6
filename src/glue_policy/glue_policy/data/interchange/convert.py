"""Folders of bags to datasets of other formats, and back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from glue_perception.errors import DatasetError
from glue_policy.data.from_bags import SUCCESS, bags_in, outcome_of
from glue_policy.data.interchange.base import ReadOptions
from glue_policy.data.interchange.formats import Format
from glue_policy.data.interchange.record import Record, record_of_bag, write_bag


def export_bags(target: Format, directory: Path, out: Path) -> int:
    """Write the successful demonstrations in a folder of bags as one dataset and return how many there are.

    One demonstration at a time is in memory. Only demonstrated steps are written, not the frames between them.

    Raises:
        BagError: a bag cannot be read or lacks what is needed.
        DatasetError: there are none, they do not go together, or `out` exists or cannot be written.
    """
    count = 0
    with target.writer(out) as writer:
        for bag in tqdm(bags_in(directory), desc="export", unit="bag", dynamic_ncols=True):
            outcome = outcome_of(bag)
            if outcome != SUCCESS:
                tqdm.write(f"left out, as its outcome is {outcome}: {bag}")
                continue
            writer.add(record_of_bag(bag))
            count += 1
        if count == 0:
            raise DatasetError(f"there are no successful demonstrations to export in {directory}")
        writer.finish()
    return count


def import_dataset(
    source_format: Format,
    source: Path,
    out: Path,
    options: ReadOptions,
    complete: Callable[[Record], Record],
) -> int:
    """Write each demonstration of a dataset as a bag in the folder `out` and return how many there are.

    The folder appears when all are written.

    Args:
        source_format: Of the dataset.
        source: The dataset.
        out: Must not exist.
        options: What the dataset does not say of itself.
        complete: Adds what the dataset lacks, such as key-patches, or raises.

    Raises:
        DatasetError: the dataset cannot be read, lacks what a bag needs, or is empty; `out` exists.
        BagError: a bag cannot be written.
    """
    if out.exists():
        raise DatasetError(f"{out} exists already and is not overwritten; choose another path or remove it")
    if not source.exists():
        raise DatasetError(f"there is no dataset at {source}")
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    names: set[str] = set()
    try:
        for record in tqdm(
            source_format.read(source, options), desc="import", unit="episode", dynamic_ncols=True
        ):
            name = _bag_name(record.name, names)
            write_bag(partial / name, complete(record))
        if not names:
            raise DatasetError(f"{source} holds no episodes")
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return len(names)


def _bag_name(wanted: str, taken: set[str]) -> str:
    """Return a folder's name of its own; names come from files that anyone may have written."""
    plain = "".join(c if c.isalnum() or c in "-_" else "_" for c in wanted)[:80].strip("_") or "episode"
    name = plain if plain not in taken else f"{plain}_{len(taken):06d}"
    taken.add(name)
    return name
