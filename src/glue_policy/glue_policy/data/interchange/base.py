"""What every format is: a writer that takes records one at a time, and a reader that gives them."""

from __future__ import annotations

import functools
import importlib
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self

import numpy as np
from jaxtyping import Float

from glue_perception.errors import ConfigError, DatasetError, MissingDependencyError
from glue_policy.data.interchange.record import Record


class DatasetWriter(ABC):
    """Writes one dataset; it appears under its name when it is complete. Use as a context manager.

    Args:
        path: Of the dataset; must not exist.

    Raises:
        DatasetError: the path exists, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._final = path
        self._partial = path.with_name(path.name + ".partial")
        self._first: dict[str, str] = {}
        if path.exists():
            raise DatasetError(
                f"{path} exists already and is not overwritten; choose another path or remove it"
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove(self._partial)  # of a process that was killed
        except OSError as error:
            raise DatasetError(f"cannot write {path}: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        _remove(self._partial)

    def add(self, record: Record) -> None:
        """Append one demonstration.

        Raises:
            DatasetError: it does not go with those before it, or cannot be written.
        """
        patches = record.key_patches
        facts = {
            "image size": "{1} x {0} px".format(*record.rgb.shape[1:3]),
            "number of key-patches": "none" if patches is None else str(patches.row_col.shape[1]),
            "depth": "none" if record.depth_m is None else "there",
            "time between steps": f"{record.dt_s:g} s",
        }
        for what, value in facts.items():
            if self._first.setdefault(what, value) != value:
                raise DatasetError(
                    f"{record.name} does not go with the demonstrations before it: {what} is {value}, not "
                    f"{self._first[what]}; export those of one kind"
                )
        try:
            self._add(record)
        except OSError as error:
            raise self._failure(error) from error

    def finish(self) -> None:
        """Complete the dataset and give it its name.

        Raises:
            DatasetError: it cannot be written.
        """
        try:
            self._finish()
            self._close()
            self._partial.rename(self._final)
        except OSError as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> DatasetError:
        return DatasetError(f"cannot write {self._final} ({error}); is the disk full?")

    @abstractmethod
    def _add(self, record: Record) -> None: ...

    @abstractmethod
    def _finish(self) -> None:
        """Write what is known only at the end."""

    @abstractmethod
    def _close(self) -> None:
        """Close files; safe to call twice."""


@dataclass(frozen=True)
class ReadOptions:
    """What a dataset does not say of itself.

    Attributes:
        rate_hz: Steps per second; None: as the dataset says.
        camera: Which of several cameras; None: the only one.
        own_actions: Whether the dataset's actions are taken, which must then be of our action space; otherwise they
            are made by `with_next_pose_as_action`.
    """

    rate_hz: float | None = None
    camera: str | None = None
    own_actions: bool = True

    def __post_init__(self) -> None:
        if self.rate_hz is not None and not 0.5 <= self.rate_hz <= 200.0:
            raise ConfigError(f"rate_hz must lie in 0.5..200, not {self.rate_hz}")

    def dt_s(self, told: float | None, where: object) -> float:
        """Return the time between steps; DatasetError if neither the user nor the dataset says it."""
        if self.rate_hz is not None:
            return 1.0 / self.rate_hz
        if told is None or not told > 0:
            raise DatasetError(f"{where} does not say its rate; give it with --rate-hz")
        return told


Reader = Callable[[Path, ReadOptions], Iterator[Record]]
"""Yields the demonstrations of the dataset at a path."""


def damage_as_error(read: Reader) -> Reader:
    """Return a reader that raises DatasetError where files are damaged or laid out in another way.

    What lies in a foreign file decides what its library raises.
    """

    @functools.wraps(read)
    def guarded(path: Path, options: ReadOptions) -> Iterator[Record]:
        try:
            yield from read(path, options)
        except (OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            told = f"{type(error).__name__}: {error}"
            raise DatasetError(
                f"{path} is damaged, or laid out in another way than known ({told[:300]})"
            ) from error

    return guarded


def import_package(name: str, extra: str) -> ModuleType:
    """Return an optional package.

    Raises:
        MissingDependencyError: it is not installed; the message names the install command.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingDependencyError(
            f"this format needs {name} ({error}); install it with: pip install 'glue_policy[{extra}]'"
        ) from error


def checked_metadata(value: Any, where: object) -> dict[str, str]:
    """Return a bag's metadata as read from a file that anyone may have written.

    Raises:
        DatasetError: not a mapping of text to text.
    """
    if not isinstance(value, dict) or not all(isinstance(x, str) for pair in value.items() for x in pair):
        raise DatasetError(f"{where}: the metadata is not a mapping of text to text; the dataset is damaged")
    return dict(value)


def stamps_at_rate(count: int, dt_s: float) -> np.ndarray:
    """Return stamps [t] in nanoseconds for data that has none; the first is 1 s."""
    return 1_000_000_000 + np.round(np.arange(count) * dt_s * 1e9).astype(np.int64)


def ten_numbers(action: Float[np.ndarray, "t d"], where: object) -> Float[np.ndarray, "t 10"]:
    """Return actions if they are of our action space.

    Raises:
        DatasetError: another number of dimensions.
    """
    if action.ndim != 2 or action.shape[1] != 10:
        raise DatasetError(
            f"{where} holds actions of shape {list(action.shape)}, but 10 numbers are needed (position_m 3, "
            "rotation_6d 6, gripper_width_m 1; absolute, base frame); to take the measured poses instead, give "
            "--actions next_pose"
        )
    return action


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
