"""Provenance is plain text and honest about what it does not know."""

import re
import subprocess

import numpy as np

from glue_perception import provenance as module
from glue_perception.provenance import git_revision, provenance


def test_values_are_text():
    values = provenance()
    assert {"git_revision", "python", "platform", "version.numpy"} <= values.keys()
    assert all(isinstance(k, str) and isinstance(v, str) for k, v in values.items())
    assert values["version.numpy"] == np.__version__


def test_revision_is_a_commit_or_unknown():
    assert re.fullmatch(r"unknown|[0-9a-f]{40}(\+changes)?", git_revision())


def test_without_git_the_revision_is_unknown(monkeypatch):
    def missing(*arguments: object, **options: object) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", missing)
    assert module.git_revision.__wrapped__() == "unknown"
