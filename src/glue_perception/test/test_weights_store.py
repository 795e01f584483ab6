"""The store of weights: what it accepts, what it refuses, and what the manifest says."""

import hashlib
import os
from pathlib import Path

import pytest
import yaml

from glue_perception.errors import ConfigError, WeightsError
from glue_perception.weights.manifest import WeightsFile, shipped_manifest
from glue_perception.weights.store import RECORD_FILE, FileState, WeightsStore, weights_root

CONTENT = b"tensors" * 1000
SHA = hashlib.sha256(CONTENT).hexdigest()


def make(root: Path, **file) -> Path:
    file = {"name": "model.safetensors", "sha256": SHA, "size_bytes": len(CONTENT), **file}
    entry = {"name": "net", "what": "a network", "url": "https://example.org/{file}", "files": [file]}
    root.mkdir(exist_ok=True)
    (root / "manifest.yaml").write_text(yaml.safe_dump({"entries": [entry]}))
    (root / "net").mkdir(exist_ok=True)
    path = root / "net" / file["name"]
    path.write_bytes(CONTENT)
    return path


def state(root: Path, **options) -> FileState:
    store = WeightsStore(root)
    return store.status(store.manifest.entry("net"), **options)[0].state


def test_root_follows_the_variable(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GLUE_WEIGHTS_DIR", str(tmp_path))
    assert weights_root() == tmp_path == WeightsStore().root
    monkeypatch.delenv("GLUE_WEIGHTS_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weights_root() == tmp_path / ".cache" / "glue" / "weights"


def test_a_whole_file_is_hashed_once_and_remembered(tmp_path) -> None:
    path = make(tmp_path)
    assert WeightsStore(tmp_path).file("net", path.name) == path
    assert WeightsStore(tmp_path).directory("net") == path.parent
    assert WeightsStore(tmp_path).only_file("net") == path
    # Other bytes, same size and time: only hashing again shows it.
    before = path.stat()
    path.write_bytes(CONTENT[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert state(tmp_path) is FileState.PRESENT
    assert state(tmp_path, rehash=True) is FileState.DAMAGED


@pytest.mark.parametrize(
    "content", [CONTENT[:-1], b"", CONTENT[::-1]], ids=["truncated", "empty", "other bytes"]
)
def test_a_damaged_file_is_refused(tmp_path, content, monkeypatch) -> None:
    monkeypatch.setenv("GLUE_WEIGHTS_DIR", str(tmp_path))
    path = make(tmp_path)
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="is refused") as error:
        WeightsStore().directory("net")
    for part in (str(path), "glue weights fetch net", f"GLUE_WEIGHTS_DIR is {tmp_path}"):
        assert part in str(error.value)
    assert error.value.exit_code == 9


def test_a_missing_file_says_which_and_what_to_do(tmp_path) -> None:
    make(tmp_path).unlink()
    with pytest.raises(WeightsError, match=r"net/model.safetensors; run `glue weights fetch net`"):
        WeightsStore(tmp_path).directory("net")
    with pytest.raises(WeightsError, match=r"no file other\.bin"):
        WeightsStore(tmp_path).file("net", "other.bin")


def test_without_a_hash_the_first_one_seen_is_remembered(tmp_path) -> None:
    path = make(tmp_path, sha256=None, size_bytes=None)
    assert state(tmp_path) is FileState.UNCHECKED
    WeightsStore(tmp_path).directory("net")
    path.write_bytes(CONTENT[::-1])
    with pytest.raises(WeightsError, match="replaced it on purpose"):
        WeightsStore(tmp_path).directory("net")
    (path.parent / RECORD_FILE).unlink()
    WeightsStore(tmp_path).directory("net")


def test_a_damaged_record_is_no_excuse(tmp_path) -> None:
    path = make(tmp_path)
    (path.parent / RECORD_FILE).write_text("{not json")
    assert state(tmp_path) is FileState.PRESENT
    (path.parent / RECORD_FILE).write_text("[1]")
    path.write_bytes(CONTENT[::-1])
    assert state(tmp_path) is FileState.DAMAGED


def test_an_alternative_may_lie_in_the_place_of_a_file(tmp_path) -> None:
    path = make(tmp_path, name="pytorch_model.bin", alternative="model.safetensors")
    path.rename(path.with_name("model.safetensors"))
    assert state(tmp_path) is FileState.UNCHECKED
    assert WeightsStore(tmp_path).file("net", "pytorch_model.bin").name == "model.safetensors"


def test_a_read_only_folder_is_no_problem(tmp_path) -> None:
    path = make(tmp_path)
    path.parent.chmod(0o555)
    try:
        assert WeightsStore(tmp_path).only_file("net") == path
    finally:
        path.parent.chmod(0o755)


def test_unknown_names_and_profiles(tmp_path) -> None:
    store = WeightsStore(tmp_path)
    with pytest.raises(ConfigError, match="Did you mean 'sam-vit-base'"):
        store.directory("sam-vit-bas")
    with pytest.raises(ConfigError, match="Did you mean 'full'"):
        store.manifest.profile("ful")
    with pytest.raises(ConfigError, match="7 files"):
        store.only_file("grounding-dino-tiny")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": "../evil"}, "plain file name"),
        ({"sha256": "abc"}, "64 hexadecimal"),
        ({"size_bytes": 0}, "positive"),
        ({"sha": "x"}, "Did you mean 'sha256'"),
    ],
)
def test_own_manifest_is_checked(tmp_path, change, says) -> None:
    file = {"name": "a.bin", **change}
    entry = {"name": "net", "url": "https://example.org/{file}", "files": [file]}
    (tmp_path / "manifest.yaml").write_text(yaml.safe_dump({"entries": [entry]}))
    with pytest.raises(ConfigError, match=says):
        WeightsStore(tmp_path)


@pytest.mark.parametrize(
    "url", ["http://example.org/{file}", "file:///etc/passwd", "ftp://example.org/x", "https://"]
)
def test_only_safe_addresses(tmp_path, url) -> None:
    entry = {"name": "net", "url": url, "files": [{"name": "a.bin"}]}
    (tmp_path / "manifest.yaml").write_text(yaml.safe_dump({"entries": [entry]}))
    with pytest.raises(ConfigError, match="https"):
        WeightsStore(tmp_path)


def test_shipped_manifest_is_complete() -> None:
    manifest = shipped_manifest()
    for entry in manifest.entries:
        assert entry.licence != "unknown"
        assert entry.source.startswith("https://")
        assert entry.revision
        for file in entry.files:
            url = entry.url_of(file)
            assert url.endswith(file.name)
            assert "{" not in url
    for names in manifest.profiles.values():
        for name in names:
            manifest.entry(name)
    # What is large and in a profile is pinned by size and hash.
    for name in manifest.profile("paper"):
        for file in manifest.entry(name).files:
            assert file.name.endswith(".json") or (file.sha256 and file.size_bytes)


def test_manifest_files_are_plain() -> None:
    assert WeightsFile("a.bin", "0" * 64, 1).sha256 == "0" * 64
