"""Files that the twin makes once and keeps in the user's cache: light meshes and the wood of the table."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def cache_folder(name: str) -> Path:
    """Return that folder of the user's cache, created if missing; of the temporary one where home is read-only."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    home = (Path(base) if base else Path.home() / ".cache") / "glue"
    try:
        (home / name).mkdir(parents=True, exist_ok=True)
    except OSError:
        home = Path(tempfile.gettempdir()) / f"glue-{os.getuid()}"
        (home / name).mkdir(parents=True, exist_ok=True)
    return home / name


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under another name and rename it, so that nobody ever reads half of it."""
    with tempfile.NamedTemporaryFile("wb", dir=path.parent, suffix=".tmp", delete=False) as file:
        file.write(content)
    Path(file.name).replace(path)
