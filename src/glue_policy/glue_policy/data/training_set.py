"""Demonstrations as arrays on disk, made once from bags and opened by memory map.

```
DATA/.training_set/224px_100ms/   index.json   image.npy  row_col.npy  xy.npy  visible.npy  joint_position.npy
                                  action.npy   stamp_ns.npy  [points.npy]
DATA/.training_set/cache_<fingerprint>/NAME.npy   what was computed from the set and is worth keeping
```

index.json is written last and the whole folder is put in place by one rename, so a set is there whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from glue_perception.errors import BagError, ConfigError
from glue_policy.data.episodes import EpisodeArrays
from glue_policy.data.npy_file import NpyAppender, open_rows

FORMAT = "glue_training_set_1"
"""Raise the number when an array's meaning changes, also where only `policy_image` or the like does: old sets are
then made again."""

INDEX_FILE = "index.json"


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """All steps of all demonstrations, one after the other.

    Attributes:
        arrays: `image` uint8 [t 3 s s], `row_col` uint8 [t n 2], `xy` float32 [t n 2], `visible` bool [t n],
            `joint_position` float32 [t 7], `action` float32 [t 10], `stamp_ns` int64 [t], maybe `points` float32
            [t p 3]; units as in `EpisodeArrays`. Memory-mapped where the set lies on disk: read rows, not the whole.
        lengths: Steps of each demonstration.
        task: Their task.
        fingerprint: Hash of the content: equal for equal steps, wherever and whenever the set was made.
        directory: Where it lies, or None if it is in memory only.
    """

    arrays: Mapping[str, np.ndarray]
    lengths: tuple[int, ...]
    task: str
    fingerprint: str
    directory: Path | None = None

    @classmethod
    def from_episodes(cls, episodes: Sequence[EpisodeArrays]) -> TrainingSet:
        """Return a set in memory.

        Raises:
            BagError: no episodes, or episodes that do not go together.
        """
        same = SameEverywhere()
        for number, episode in enumerate(episodes):
            same.add(f"demonstration {number}", episode)
        same.require()
        if not episodes:
            raise BagError("there are no demonstrations to train on")
        columns = [episode.arrays() for episode in episodes]
        arrays = {
            name: np.ascontiguousarray(np.concatenate([column[name] for column in columns]))
            for name in columns[0]
        }
        hashes = {name: hashlib.sha256(array.data).hexdigest() for name, array in arrays.items()}
        lengths = tuple(len(episode) for episode in episodes)
        return cls(arrays, lengths, episodes[0].task, _fingerprint(episodes[0].task, lengths, arrays, hashes))

    @classmethod
    def open(cls, directory: Path) -> TrainingSet:
        """Return a set on disk; nothing but the index and the headers is read.

        Raises:
            BagError: there is none, it is damaged, or of another format.
        """
        index = read_index(directory)
        try:
            arrays = {}
            for name, told in index["arrays"].items():
                arrays[name] = array = open_rows(directory / f"{name}.npy")
                if list(array.shape) != told["shape"] or array.dtype.str != told["dtype"]:
                    raise ValueError(
                        f"{name} is {array.dtype.str} {list(array.shape)}, not as the index says"
                    )
            lengths = tuple(int(episode["steps"]) for episode in index["episodes"])
            if any(len(array) != sum(lengths) for array in arrays.values()):
                raise ValueError("arrays and episodes differ in length")
            return cls(arrays, lengths, str(index["task"]), str(index["fingerprint"]), directory)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BagError(f"the training set {directory} is damaged ({error}); delete it") from error

    def __len__(self) -> int:
        return sum(self.lengths)

    def cache_path(self, name: str) -> Path | None:
        """Return where an array computed from this very content may be kept, or None for a set in memory.

        The folder is made. A set of other content has another folder; old ones go when the set is made anew.
        """
        if self.directory is None:
            return None
        folder = self.directory.parent / f"cache_{self.fingerprint[:16]}"
        folder.mkdir(exist_ok=True)
        return folder / f"{name}.npy"


@dataclass
class SameEverywhere:
    """Holds demonstrations against each other: what they may not mix."""

    _found: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(self, name: str, episode: EpisodeArrays) -> None:
        """Take note of one demonstration."""
        facts = {"task": episode.task, "num_key_patches": str(episode.row_col.shape[1])}
        facts["policy image size [px]"] = str(episode.image.shape[1])
        if episode.camera_size_px is not None:
            facts["image size [px]"] = "{} x {}".format(*episode.camera_size_px)
        if episode.points is not None:
            facts["number of points"] = str(episode.points.shape[1])
        for what, value in facts.items():
            self._found.setdefault(what, {}).setdefault(value, name)

    def problems(self) -> list[str]:
        """Return a sentence for each thing that is mixed."""
        return [
            f"the demonstrations mix several values of {what}: {', '.join(sorted(values))} "
            f"(first met in {', '.join(values[v] for v in sorted(values))}); keep those of one kind in a folder"
            for what, values in self._found.items()
            if len(values) > 1
        ]

    def require(self) -> None:
        """Raise BagError if something is mixed."""
        if problems := self.problems():
            raise BagError("; ".join(problems))


class TrainingSetWriter:
    """Makes one set on disk, episode by episode. Use as a context manager; without `finish` nothing is left behind.

    Args:
        directory: The set's final place; what is there stays until `finish` replaces it.

    Raises:
        BagError: the folder cannot be written.
    """

    def __init__(self, directory: Path) -> None:
        self._final = directory
        try:
            directory.parent.mkdir(parents=True, exist_ok=True)
            self._folder = _new_folder_beside(directory)
        except OSError as error:
            raise BagError(
                f"cannot write a training set beside the demonstrations, in {directory.parent} ({error.strerror}); "
                "copy them to a place that can be written"
            ) from error
        self._files: dict[str, NpyAppender] = {}
        self._episodes: list[dict[str, Any]] = []
        self._task = ""
        self._open = ExitStack()

    def __enter__(self) -> TrainingSetWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, name: str, episode: EpisodeArrays) -> None:
        """Append a demonstration, which must be of the kind of those before it."""
        self._task = episode.task
        for key, values in episode.arrays().items():
            if key not in self._files:
                file = NpyAppender(self._folder / f"{key}.npy", values.dtype, values.shape[1:])
                self._files[key] = self._open.enter_context(file)
            self._files[key].append(values)
        self._episodes.append({"bag": name, "steps": len(episode)})

    def finish(self, facts: Mapping[str, Any]) -> TrainingSet:
        """Put the set in its place and return it.

        Args:
            facts: Kept in the index as they are: what the set was made from and how.

        Raises:
            BagError: it cannot be written.
        """
        self._open.close()
        arrays = {name: open_rows(self._folder / f"{name}.npy") for name in self._files}
        hashes = {name: file.sha256 for name, file in self._files.items()}
        lengths = tuple(episode["steps"] for episode in self._episodes)
        fingerprint = _fingerprint(self._task, lengths, arrays, hashes)
        index = {
            "format": FORMAT,
            **facts,
            "task": self._task,
            "fingerprint": fingerprint,
            "num_episodes": len(lengths),
            "num_steps": sum(lengths),
            "arrays": {
                name: {"dtype": a.dtype.str, "shape": list(a.shape), "sha256": hashes[name]}
                for name, a in arrays.items()
            },
            "episodes": self._episodes,
        }
        try:
            (self._folder / INDEX_FILE).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
            _replace_folder(self._folder, self._final)
            _drop_old_caches(self._final.parent)
        except OSError as error:
            raise BagError(f"cannot write the training set {self._final}: {error}") from error
        return TrainingSet.open(self._final)


def read_index(directory: Path) -> dict[str, Any]:
    """Return the index of a set on disk.

    Raises:
        BagError: there is none, or it is damaged or of another format.
    """
    try:
        index = json.loads((directory / INDEX_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BagError(f"{directory} holds no training set that can be read ({error})") from error
    found = index.get("format") if isinstance(index, dict) else None
    if found != FORMAT:
        raise BagError(f"the training set {directory} has format {found!r}, this version reads {FORMAT!r}")
    return dict(index)


def check_array_name(name: str) -> str:
    """Return `name` if it can be a file's name; ConfigError otherwise."""
    if not name.isidentifier():
        raise ConfigError(f"an array's name must be letters, digits and underscores, not {name!r}")
    return name


def _fingerprint(
    task: str, lengths: Sequence[int], arrays: Mapping[str, np.ndarray], hashes: Mapping[str, str]
) -> str:
    content = {
        "format": FORMAT,
        "task": task,
        "lengths": list(lengths),
        "arrays": {n: [a.dtype.str, list(a.shape), hashes[n]] for n, a in sorted(arrays.items())},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _new_folder_beside(directory: Path) -> Path:
    """Make a folder with a name of its own, which whoever clears up knows by `.partial-`."""
    folder = directory.with_name(f"{directory.name}.partial-{secrets.token_hex(4)}")
    folder.mkdir()
    return folder


def _replace_folder(new: Path, final: Path) -> None:
    """Rename; who has the old files open goes on reading them."""
    if final.exists():
        old = _new_folder_beside(final)
        final.rename(old / "old")
        new.rename(final)
        shutil.rmtree(old, ignore_errors=True)
    else:
        new.rename(final)


def _drop_old_caches(parent: Path) -> None:
    """Remove caches of content that no set here has any more."""
    kept = set()
    for path in parent.glob(f"*/{INDEX_FILE}"):
        try:
            kept.add(f"cache_{str(read_index(path.parent)['fingerprint'])[:16]}")
        except (BagError, KeyError):
            continue
    for folder in parent.glob("cache_*"):
        if folder.name not in kept:
            shutil.rmtree(folder, ignore_errors=True)
