"""What a result was made with: versions, source revision, interpreter and machine."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

PACKAGES = (
    "glue_perception",
    "numpy",
    "opencv-python-headless",
    "torch",
    "diffusers",
    "mujoco",
    "franky-sim",
    "franky-control",
)
"""Those whose version changes results."""

UNKNOWN = "unknown"


@cache
def git_revision() -> str:
    """Return the commit of the source tree, with `+changes` if files differ from it; `unknown` outside git."""
    revision = _git("rev-parse", "HEAD")
    if not revision:
        return UNKNOWN
    return f"{revision}+changes" if _git("status", "--porcelain", "--untracked-files=no") else revision


def provenance() -> dict[str, str]:
    """Return plain text values: `git_revision`, `python`, `platform`, and `version.NAME` per package.

    A package that is not installed is left out.
    """
    result = {
        "git_revision": git_revision(),
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    for name in PACKAGES:
        try:
            result[f"version.{name}"] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return result


def _git(*arguments: str) -> str:
    """Return git's answer about the folder of this file; empty if there is no git or no repository."""
    folder = Path(__file__).resolve().parent
    # Installed into an environment that lies in some other repository, this file is not tracked by it.
    try:
        tracked = _run(folder, "ls-files", "--error-unmatch", Path(__file__).name)
        return _run(folder, *arguments) if tracked else ""
    except (OSError, subprocess.SubprocessError):
        return ""


def _run(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()
