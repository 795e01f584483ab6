"""`glue weights` against a server on this machine."""

import hashlib
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from glue_bringup.cli.main import main

FILES = {"config.json": b"{}", "model.bin": b"tensors" * 100_000}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_) -> None:
        pass


@pytest.fixture(scope="module")
def url(tmp_path_factory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("served")
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/{{file}}"
        server.shutdown()
        thread.join()


@pytest.fixture
def root(tmp_path, monkeypatch, url) -> Path:
    """A store whose profiles `small` and `full` need a network that the server has."""
    monkeypatch.setenv("GLUE_WEIGHTS_DIR", str(tmp_path))
    write_manifest(tmp_path, url)
    return tmp_path


def write_manifest(root: Path, url: str, licence: str = "MIT", **hashes: str | None) -> None:
    sha256 = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()} | hashes
    files = [{"name": n, "sha256": sha256[n], "size_bytes": len(FILES[n])} for n in FILES]
    source = "https://example.org/net"
    entry = {
        "name": "net",
        "what": "a network",
        "licence": licence,
        "source": source,
        "url": url,
        "files": files,
    }
    (root / "manifest.yaml").write_text(yaml.safe_dump({"entries": [entry], "profiles": {"small": ["net"]}}))


def listed(capsys) -> dict[str, str]:
    capsys.readouterr()
    assert main(["weights", "list", "--json"]) == 0
    return {row["name"]: row["state"] for row in json.loads(capsys.readouterr().out)["weights"]}


def test_list_fetch_verify(root, capsys) -> None:
    assert listed(capsys)["net"] == "missing"
    assert main(["weights", "fetch", "--profile", "small"]) == 0
    shown = capsys.readouterr().out
    assert "net: a network. Licence MIT, from https://example.org/net" in shown
    assert f"fetched: {root / 'net' / 'model.bin'}" in shown
    assert listed(capsys)["net"] == "present"
    assert main(["weights", "verify"]) == 0
    assert "present    net/model.bin" in capsys.readouterr().out
    assert main(["weights", "fetch", "net", "net"]) == 0
    assert capsys.readouterr().out.count("here already") == 2


def test_list_for_people_shows_the_shipped_weights(root, capsys) -> None:
    assert main(["weights", "list"]) == 0
    shown = capsys.readouterr().out
    for word in ("grounding-dino-tiny", "690 MB", "Apache-2.0", "CC-BY-NC-4.0", "missing", "--profile full"):
        assert word in shown


def test_damage_is_found_and_mended(root, capsys) -> None:
    main(["weights", "fetch", "net"])
    (root / "net" / "model.bin").write_bytes(b"damaged" * 100_000)
    capsys.readouterr()
    assert main(["weights", "verify", "--json"]) == 9
    out, err = capsys.readouterr()
    (row,) = json.loads(out)["weights"]
    assert [f["state"] for f in row["files"]] == ["present", "damaged"]
    assert err.strip().splitlines()[-1].startswith("error: not whole: ")
    assert "glue weights fetch net" in err
    assert listed(capsys)["net"] == "damaged"
    assert main(["weights", "fetch", "net"]) == 0
    assert main(["weights", "verify", "net"]) == 0


def test_missing_weights_fail_only_if_named(root, capsys) -> None:
    assert main(["weights", "verify"]) == 0
    assert "no weights in" in capsys.readouterr().out
    assert main(["weights", "verify", "net"]) == 9


def test_a_wrong_hash_is_one_line_and_leaves_nothing(root, url, capsys) -> None:
    write_manifest(root, url, **{"model.bin": "0" * 64})
    assert main(["weights", "fetch", "net"]) == 9
    assert "is not the file it should be" in capsys.readouterr().err.strip().splitlines()[-1]
    assert listed(capsys)["net"] == "incomplete"


def test_without_a_hash_it_says_that_it_could_not_check(root, url, capsys) -> None:
    write_manifest(root, url, **{"model.bin": None})
    assert main(["weights", "fetch", "net"]) == 0
    shown = capsys.readouterr().out
    assert "not checked" in shown
    assert hashlib.sha256(FILES["model.bin"]).hexdigest() in shown
    assert listed(capsys)["net"] == "unchecked"


def test_a_restrictive_licence_is_pointed_out(root, url, capsys) -> None:
    write_manifest(root, url, licence="CC-BY-NC-4.0")
    assert main(["weights", "fetch", "net"]) == 0
    assert "CC-BY-NC-4.0 restricts" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["fetch"], 2, "say which weights"),
        (["fetch", "sam-vit-bas"], 2, "Did you mean 'sam-vit-base'"),
        (["fetch", "--profile", "smal"], 2, "Did you mean 'small'"),
        (["verify", "nett"], 2, "Did you mean 'net'"),
    ],
)
def test_wrong_arguments(root, capsys, arguments, code, says) -> None:
    assert main(["weights", *arguments]) == code
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("action", ["", "list", "fetch", "verify"])
def test_help(capsys, action) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["weights", *action.split(), "--help"])
    assert stop.value.code == 0
    assert "usage: glue weights" in capsys.readouterr().out
