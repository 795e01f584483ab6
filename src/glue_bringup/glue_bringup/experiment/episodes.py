"""The raw results: one row per episode, appended as they come, safe against any interruption."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from glue_bringup.experiment.plan import Cell
from glue_perception.errors import ConfigError
from glue_perception.picture import make_folder_of


@dataclass(frozen=True)
class EpisodeRow:
    """One episode of one cell. The same row whenever and wherever it is run, but for the three last values.

    Attributes:
        method: As named in the experiment.
        task: The task's name.
        condition: Its canonical name.
        seed: Of layout, start pose and policy.
        success: Whether the task's own test was met.
        duration_s: To success or the end, simulated time.
        tracked_share: Mean share of key-patches tracked.
        frames: Through perception.
        chunks: From the policy.
        deadlines: Chunks that were due.
        deadline_misses: Chunks that came late or never.
        holds: How often the safety supervisor held the arm.
        hold_reasons: Of these, `reason=count` joined by `;`.
        perception_events: The same of the camera's stream and of searches for lost objects.
        failure: Why the episode could not begin, e.g. that the objects were not found; empty otherwise.
        policy: Kind of policy, or `expert`.
        checkpoint: What flew.
        fingerprint: SHA-256 of its weights.
        setting: SHA-256 of the task's configuration and the condition.
        git_revision: Of the source.
        versions: `package=version` joined by `;`.
        wall_s: Time that the episode took.
        cpu_s: Processor time that it took, all threads of its process.
    """

    method: str
    task: str
    condition: str
    seed: int
    success: bool
    duration_s: float
    tracked_share: float
    frames: int
    chunks: int
    deadlines: int
    deadline_misses: int
    holds: int
    hold_reasons: str
    perception_events: str
    failure: str
    policy: str
    checkpoint: str
    fingerprint: str
    setting: str
    git_revision: str
    versions: str
    wall_s: float
    cpu_s: float

    @property
    def cell(self) -> tuple[str, str, str]:
        """Method, task and condition."""
        return self.method, self.task, self.condition


NOT_IN_CSV = ("wall_s", "cpu_s")
"""They differ at every run; without them the same experiment gives the same file."""


def joined(counts: Mapping[str, Any]) -> str:
    """Return `name=value` pairs joined by `;`, sorted by name."""
    return ";".join(f"{name}={counts[name]}" for name in sorted(counts))


def csv_text(rows: Iterable[EpisodeRow]) -> str:
    """Return the rows as CSV with a heading line; success is 0 or 1."""
    columns = [f.name for f in fields(EpisodeRow) if f.name not in NOT_IN_CSV]
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({**asdict(row), "success": int(row.success)})
    return out.getvalue()


class EpisodeFile:
    """Rows on disk, one JSON line each, for one process at a time; use as a context manager.

    A line is on the disk before the next episode counts. What a crash left half written is dropped, as that episode
    will be run again.

    Args:
        path: Made if missing.

    Raises:
        ConfigError: the file cannot be written, is damaged, or another run writes to it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        make_folder_of(path)
        try:
            self._file = path.open("a+b")
        except OSError as error:
            raise ConfigError(f"cannot write {path}: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise ConfigError(
                f"another run writes to {path}; wait for its end or choose another --output"
            ) from error
        try:
            self.rows = self._load()
        except ConfigError:
            self.close()
            raise

    def add(self, row: EpisodeRow) -> None:
        """Append a row; it is on the disk when this returns."""
        self._write([row])
        self.rows.append(row)

    def replace(self, rows: Sequence[EpisodeRow]) -> None:
        """Keep these rows only."""
        self._file.truncate(0)
        self._write(rows)
        self.rows = list(rows)

    def close(self) -> None:
        """Give the file free."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, rows: Sequence[EpisodeRow]) -> None:
        text = "".join(json.dumps(asdict(row)) + "\n" for row in rows)
        try:
            self._file.write(text.encode())
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise ConfigError(f"cannot write {self._path}: {error.strerror}") from error

    def _load(self) -> list[EpisodeRow]:
        self._file.seek(0)
        content = self._file.read()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            self._file.truncate(len(whole))
        rows = []
        for number, line in enumerate(whole.decode("utf-8", "replace").splitlines(), 1):
            try:
                rows.append(EpisodeRow(**json.loads(line)))
            except (ValueError, TypeError) as error:
                raise ConfigError(
                    f"{self._path}, line {number} is damaged ({error}); delete the line to run that episode again"
                ) from error
        return rows


def check_same_subject(rows: Iterable[EpisodeRow], cells: Iterable[Cell]) -> list[EpisodeRow]:
    """Return the rows that were made by another checkpoint or under another setting than their cell now has."""
    subject = {cell.key: (cell.fingerprint, cell.setting) for cell in cells}
    return [row for row in rows if subject.get(row.cell, (row.fingerprint, row.setting)) != _subject(row)]


def _subject(row: EpisodeRow) -> tuple[str, str]:
    return row.fingerprint, row.setting
