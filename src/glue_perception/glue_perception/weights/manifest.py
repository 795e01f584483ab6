"""The list of pretrained weights: files, sources, hashes, licences."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from glue_perception.config import load_config, suggest
from glue_perception.errors import ConfigError

MANIFEST_FILE = "manifest.yaml"
_SHIPPED = Path(__file__).with_name(MANIFEST_FILE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True)
class WeightsFile:
    """One file of an entry.

    Attributes:
        name: Its name in the entry's folder.
        sha256: 64 lower-case hexadecimal digits, or None if no certain record of it is known.
        size_bytes: Or None.
        alternative: Name of a file that may lie in its place, e.g. one converted to a safer format. It has no hash.
    """

    name: str
    sha256: str | None = None
    size_bytes: int | None = None
    alternative: str | None = None

    def __post_init__(self) -> None:
        for name in filter(None, (self.name, self.alternative)):
            if not _NAME.fullmatch(name):
                raise ConfigError(f"{name!r} is not a plain file name")
        if self.sha256 is not None and not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise ConfigError(
                f"sha256 of {self.name} must be 64 hexadecimal digits or null, not {self.sha256!r}"
            )
        if self.size_bytes is not None and self.size_bytes < 1:
            raise ConfigError(f"size_bytes of {self.name} must be positive or null, not {self.size_bytes}")


@dataclass(frozen=True)
class WeightsEntry:
    """One model: a folder of files from one source at one revision.

    Attributes:
        name: The folder's name, and what the configuration calls it.
        files: All that is needed to load it without network.
        what: For people.
        used_by: The YAML keys that load it.
        licence: SPDX identifier.
        source: Page of the publisher.
        revision: Commit, tag or version at the source.
        url: Of a file; `{revision}` and `{file}` are filled in. Empty for weights that are put there by hand.
    """

    name: str
    files: tuple[WeightsFile, ...]
    what: str = ""
    used_by: str = ""
    licence: str = "unknown"
    source: str = ""
    revision: str = ""
    url: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigError(f"{self.name!r} is not a plain folder name")
        if not self.files:
            raise ConfigError(f"weights {self.name} name no files")
        if self.url and not is_safe_url(self.url):
            raise ConfigError(f"weights {self.name}: url must begin with https://, not {self.url!r}")

    @property
    def size_bytes(self) -> int | None:
        """Of all files together; None if that of a large one is unknown."""
        sizes = [f.size_bytes for f in self.files if f.size_bytes is not None or not f.name.endswith(".json")]
        return None if None in sizes else sum(s for s in sizes if s is not None)

    def url_of(self, file: WeightsFile) -> str:
        """Return where a file is fetched from; empty if nowhere."""
        return self.url.replace("{revision}", self.revision).replace("{file}", file.name)


@dataclass(frozen=True)
class WeightsManifest:
    """All entries.

    Attributes:
        entries: In the order in which they are listed.
        profiles: Perception profile -> names of the entries that it needs.
    """

    entries: tuple[WeightsEntry, ...] = ()
    profiles: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [entry.name for entry in self.entries]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"weights {name} are listed twice")

    def entry(self, name: str) -> WeightsEntry:
        """Return the entry of that name.

        Raises:
            ConfigError: there is none; the message names the nearest.
        """
        known = {entry.name: entry for entry in self.entries}
        if name not in known:
            raise ConfigError(f"unknown weights {name!r}.{suggest(name, known)}")
        return known[name]

    def profile(self, name: str) -> tuple[str, ...]:
        """Return the names of the entries that a perception profile needs.

        Raises:
            ConfigError: the profile is unknown here.
        """
        if name not in self.profiles:
            raise ConfigError(f"no weights are listed for profile {name!r}.{suggest(name, self.profiles)}")
        return self.profiles[name]

    def with_others(self, other: WeightsManifest) -> WeightsManifest:
        """Return both together; where names are the same, `other` wins."""
        replaced = {entry.name: entry for entry in (*self.entries, *other.entries)}
        return WeightsManifest(tuple(replaced.values()), {**self.profiles, **other.profiles})


def is_safe_url(url: str) -> bool:
    """Return whether weights may be fetched from there: https, or any server on this machine itself."""
    parts = urlsplit(url)
    return (parts.scheme == "https" and bool(parts.hostname)) or (
        parts.scheme == "http" and parts.hostname in _LOOPBACK
    )


@cache
def shipped_manifest() -> WeightsManifest:
    """Return the manifest that comes with the package."""
    return load_config(WeightsManifest, _SHIPPED)


def manifest_of(root: Path) -> WeightsManifest:
    """Return the shipped manifest, extended by `manifest.yaml` in the weights folder if there is one.

    Raises:
        ConfigError: that file is wrong.
    """
    own = root / MANIFEST_FILE
    return (
        shipped_manifest().with_others(load_config(WeightsManifest, own))
        if own.is_file()
        else shipped_manifest()
    )
