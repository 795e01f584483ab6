"""The folder of pretrained weights: what is there, whether it is whole, and where a back-end finds it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from glue_perception.errors import ConfigError, WeightsError
from glue_perception.weights.manifest import WeightsEntry, WeightsFile, WeightsManifest, manifest_of

WEIGHTS_VARIABLE = "GLUE_WEIGHTS_DIR"
RECORD_FILE = "hashes.json"
_CHUNK_BYTES = 1 << 20

OnBytes = Callable[[int], None]


class FileState(Enum):
    """What is known of a file.

    Attributes:
        MISSING: It is not there.
        PRESENT: It is there; its size is right, and its hash was right when it was last computed.
        UNCHECKED: It is there, but the manifest has no hash to hold it against.
        DAMAGED: Its size or its hash is wrong.
    """

    MISSING = "missing"
    PRESENT = "present"
    UNCHECKED = "unchecked"
    DAMAGED = "damaged"


@dataclass(frozen=True)
class FileStatus:
    """A file of an entry as it lies on the disk.

    Attributes:
        name: Of the file that is there, or should be.
        path: Where it is or belongs.
        state: What is known of it.
        problem: One sentence if it is damaged, else empty.
        sha256: As computed or recorded; None if it never was.
    """

    name: str
    path: Path
    state: FileState
    problem: str = ""
    sha256: str | None = None


def weights_root() -> Path:
    """Return GLUE_WEIGHTS_DIR, or ~/.cache/glue/weights where it is not set."""
    named = os.environ.get(WEIGHTS_VARIABLE)
    return Path(named).expanduser() if named else Path.home() / ".cache" / "glue" / "weights"


def sha256_of(path: Path, on_bytes: OnBytes | None = None) -> str:
    """Return the SHA-256 of a file in hexadecimal digits; `on_bytes` is told of each piece read."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_CHUNK_BYTES):
            digest.update(piece)
            if on_bytes is not None:
                on_bytes(len(piece))
    return digest.hexdigest()


class WeightsStore:
    """One folder per entry of the manifest. Files are read-only for everybody but `fetch`.

    A file is hashed the first time that it is used; hash, size and time of change are recorded beside it, so that
    later starts need not read hundreds of megabytes twice. A file that changed since is hashed again.

    Args:
        root: The folder; None for `weights_root`.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = weights_root() if root is None else root
        self.manifest: WeightsManifest = manifest_of(self.root)

    def folder(self, entry: WeightsEntry) -> Path:
        """Return where an entry's files belong, whether or not they are there."""
        return self.root / entry.name

    def directory(self, name: str) -> Path:
        """Return the folder of an entry that is complete and whole.

        Raises:
            ConfigError: there is no such entry.
            WeightsError: a file is missing or damaged; the message says how to get it.
        """
        entry = self.manifest.entry(name)
        for file in entry.files:
            self._require(entry, file)
        return self.folder(entry)

    def file(self, name: str, file_name: str) -> Path:
        """Return one file of an entry, whole.

        Raises:
            ConfigError: there is no such entry.
            WeightsError: the file is missing or damaged, or the entry has no such file.
        """
        entry = self.manifest.entry(name)
        for file in entry.files:
            if file.name == file_name:
                return self._require(entry, file)
        raise WeightsError(
            f"weights {name} have no file {file_name}; they hold {', '.join(f.name for f in entry.files)}"
        )

    def only_file(self, name: str) -> Path:
        """Return the one file of an entry that has just one, whole.

        Raises:
            ConfigError: there is no such entry, or it has several files.
            WeightsError: the file is missing or damaged.
        """
        entry = self.manifest.entry(name)
        if len(entry.files) != 1:
            raise ConfigError(
                f"weights {name} have {len(entry.files)} files; here an entry of a single file is needed"
            )
        return self._require(entry, entry.files[0])

    def status(
        self, entry: WeightsEntry, *, rehash: bool = False, on_bytes: OnBytes | None = None
    ) -> list[FileStatus]:
        """Return the state of every file of an entry.

        Args:
            entry: Of the manifest.
            rehash: Read and hash every file, instead of trusting the record of the last time.
            on_bytes: Told of each piece read while hashing.
        """
        return [self._status(entry, file, rehash, on_bytes) for file in entry.files]

    def record(self, path: Path, sha256: str) -> None:
        """Remember the hash of a file as it is now; a folder that cannot be written to is left as it is."""
        records = _read_records(path.parent)
        found = path.stat()
        records[path.name] = {"sha256": sha256, "size_bytes": found.st_size, "mtime_ns": found.st_mtime_ns}
        part = path.parent / f"{RECORD_FILE}.part"
        try:
            part.write_text(json.dumps(records, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            part.replace(path.parent / RECORD_FILE)
        except OSError:
            return

    def _require(self, entry: WeightsEntry, file: WeightsFile) -> Path:
        status = self._status(entry, file, rehash=False, on_bytes=None)
        where = f"{WEIGHTS_VARIABLE} is {os.environ.get(WEIGHTS_VARIABLE) or 'not set'}"
        if status.state is FileState.MISSING:
            raise WeightsError(
                f"weights {entry.name} ({entry.what or 'no description'}) lack {status.path}; {_remedy(entry)}, "
                f"or copy the folder from another machine. {where}"
            )
        if status.state is FileState.DAMAGED:
            raise WeightsError(
                f"{status.path} of weights {entry.name} is refused: {status.problem}; to replace it, "
                f"{_remedy(entry)}. {where}"
            )
        return status.path

    def _status(
        self, entry: WeightsEntry, file: WeightsFile, rehash: bool, on_bytes: OnBytes | None
    ) -> FileStatus:
        path, expected = self.folder(entry) / file.name, file.sha256
        expected_size = file.size_bytes
        if not path.is_file() and file.alternative is not None:
            other = self.folder(entry) / file.alternative
            if other.is_file():
                path, expected, expected_size = other, None, None
        if not path.is_file():
            return FileStatus(path.name, path, FileState.MISSING)
        found = path.stat()
        if found.st_size == 0 or expected_size not in (None, found.st_size):
            wanted = f"{expected_size:,} bytes" if expected_size else "more than none"
            problem = f"it has {found.st_size:,} bytes, not {wanted}"
            return FileStatus(path.name, path, FileState.DAMAGED, problem)
        record = _read_records(path.parent).get(path.name, {})
        unchanged = (record.get("size_bytes"), record.get("mtime_ns")) == (found.st_size, found.st_mtime_ns)
        known: str | None = record.get("sha256")
        if rehash or not unchanged:
            seen = sha256_of(path, on_bytes)
            self._record_if_right(path, seen, expected or known)
        else:
            seen = str(known)
        wanted_hash = expected or known
        if wanted_hash is not None and seen != wanted_hash:
            problem = f"its sha256 is {seen}, but the manifest says {wanted_hash}"
            if not expected:
                problem = (
                    f"its sha256 is {seen}, but it was {wanted_hash} before (if you replaced it on purpose, delete "
                    f"{path.parent / RECORD_FILE})"
                )
            return FileStatus(path.name, path, FileState.DAMAGED, problem, seen)
        return FileStatus(
            path.name, path, FileState.PRESENT if expected else FileState.UNCHECKED, sha256=seen
        )

    def _record_if_right(self, path: Path, seen: str, wanted: str | None) -> None:
        if wanted in (None, seen):
            self.record(path, seen)


def _remedy(entry: WeightsEntry) -> str:
    return f"run `glue weights fetch {entry.name}`" if entry.url else "put it there by hand"


def _read_records(folder: Path) -> dict[str, Any]:
    """Return what is remembered of a folder's files; a damaged record counts as none, and files are hashed anew."""
    try:
        records = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(records, dict):
        return {}
    return {name: values for name, values in records.items() if isinstance(values, dict)}
