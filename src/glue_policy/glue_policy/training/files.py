"""Files that are either whole or not there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glue_perception.errors import CheckpointError


@contextmanager
def replaced_when_complete(path: Path) -> Iterator[Path]:
    """Give a path to write to; after the block it takes the place of `path`.

    Raises:
        CheckpointError: it cannot be written, e.g. since the disk is full; what was at `path` stays.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        yield partial
        # Without this a power cut can leave the new name with nothing in it.
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    # PyTorch's writer reports a full disk as RuntimeError.
    except (OSError, RuntimeError) as error:
        raise CheckpointError(f"cannot write {path}: {_reason(error)}. {_space(path)}") from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Report that `path` cannot be written as `replaced_when_complete` does.

    Raises:
        CheckpointError: it cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {_reason(error)}. {_space(path)}") from error


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _space(path: Path) -> str:
    folder = next((p for p in path.parents if p.is_dir()), Path())
    free_mb = shutil.disk_usage(folder).free / 1e6
    return f"{free_mb:.0f} MB are free there; make room and run the same command again"
