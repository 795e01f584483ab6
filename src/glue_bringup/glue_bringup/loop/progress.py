"""Finished episodes on disk, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import json
from pathlib import Path

from glue_bringup.loop.episode import EpisodeResult
from glue_perception.errors import ConfigError


class EpisodeProgress:
    """Finished episodes, one JSON line each, under a first line that says what was run.

    Args:
        path: The file; one about something else is begun anew, not mixed in.
        subject: Task, policy and whatever else makes two runs comparable.
    """

    def __init__(self, path: Path, subject: dict[str, str]) -> None:
        self._path = path
        self._subject = subject

    def load(self) -> list[EpisodeResult]:
        """Return the results of an interrupted run of the same subject."""
        if not self._path.exists():
            self._begin()
            return []
        results = []
        try:
            lines = [json.loads(line) for line in self._path.read_text(encoding="utf-8").splitlines()]
            if not lines or lines[0] != self._subject:
                self._begin()
                return []
            results = [EpisodeResult(**line) for line in lines[1:]]
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(f"{self._path} is damaged ({error}); delete it to start anew") from error
        return results

    def add(self, result: EpisodeResult) -> None:
        """Append one result."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(vars(result)) + "\n")

    def remove(self) -> None:
        """Delete the file: the report holds everything."""
        self._path.unlink(missing_ok=True)

    def _begin(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self._subject) + "\n", encoding="utf-8")
