"""Fetching weights, against a server on this machine that behaves well or badly."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from glue_perception.errors import WeightsError
from glue_perception.weights.fetch import Fetched, fetch_entry
from glue_perception.weights.store import RECORD_FILE, FileState, WeightsStore

CONTENT = bytes(range(256)) * 20_000
SHA = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Gives CONTENT; `break_after` cuts each answer short, `script` answers the next requests otherwise."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges: list[str | None] = []
        self.break_after: int | None = None
        self.ignores_ranges = False
        self.content = CONTENT
        self.script: list[tuple[int, dict[str, str]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/{{file}}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_) -> None:
        pass

    def do_GET(self) -> None:
        server = self.server
        wanted = self.headers.get("Range")
        server.ranges.append(wanted)
        if server.script:
            status, headers = server.script.pop(0)
            self.send_response(status)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            return
        start = int(wanted[6:-1]) if wanted and not server.ignores_ranges else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header(
                "Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}"
            )
        body = server.content[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if server.break_after is None else body[: server.break_after])


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def make_store(root: Path, url: str, **file) -> WeightsStore:
    file = {"name": "model.bin", "sha256": SHA, "size_bytes": len(CONTENT), **file}
    entry = {"name": "net", "url": url, "files": [file]}
    (root / "manifest.yaml").write_text(yaml.safe_dump({"entries": [entry]}))
    return WeightsStore(root)


def fetch(store: WeightsStore, seen: list | None = None) -> list[Fetched]:
    def told(*values) -> None:
        if seen is not None:
            seen.append(values)

    return fetch_entry(store, store.manifest.entry("net"), told, pause_s=0.0)


def test_fetches_checks_and_records(tmp_path, server) -> None:
    store, seen = make_store(tmp_path, server.url), []
    (result,) = fetch(store, seen)
    assert result.path.read_bytes() == CONTENT
    assert (result.sha256, result.is_checked, result.is_new) == (SHA, True, True)
    assert seen[0] == ("model.bin", 0, len(CONTENT))
    assert seen[-1] == ("model.bin", len(CONTENT), len(CONTENT))
    assert sorted(p.name for p in result.path.parent.iterdir()) == [RECORD_FILE, "model.bin"]
    assert store.status(store.manifest.entry("net"))[0].state is FileState.PRESENT
    (again,) = fetch(store)
    assert not again.is_new
    assert len(server.ranges) == 1


def test_goes_on_where_the_connection_broke(tmp_path, server) -> None:
    server.break_after = 2_000_000
    store = make_store(tmp_path, server.url)
    (result,) = fetch(store)
    assert result.path.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=2000000-", "bytes=4000000-"]


def test_goes_on_in_the_next_call(tmp_path, server) -> None:
    server.break_after = 1_000_000
    store = make_store(tmp_path, server.url)
    with pytest.raises(
        WeightsError, match=r"broke off 4 times.*4,000,000 bytes are kept.*run the same command again"
    ):
        fetch(store)
    assert not (tmp_path / "net" / "model.bin").exists()
    server.break_after = None
    (result,) = fetch(store)
    assert result.sha256 == SHA
    assert server.ranges[-1] == "bytes=4000000-"


def test_a_finished_part_is_not_fetched_again(tmp_path, server) -> None:
    store = make_store(tmp_path, server.url)
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "model.bin.part").write_bytes(CONTENT)
    assert fetch(store)[0].sha256 == SHA
    assert server.ranges == []


def test_starts_over_if_the_server_cannot_resume(tmp_path, server) -> None:
    server.ignores_ranges = True
    store = make_store(tmp_path, server.url)
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "model.bin.part").write_bytes(b"x" * 1000)
    assert fetch(store)[0].sha256 == SHA


def test_starts_over_if_the_part_is_too_long(tmp_path, server) -> None:
    store = make_store(tmp_path, server.url)
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "model.bin.part").write_bytes(CONTENT + b"x")
    assert fetch(store)[0].sha256 == SHA
    assert server.ranges == [None]


def test_a_wrong_hash_is_refused_and_removed(tmp_path, server) -> None:
    server.content = CONTENT[::-1]
    store = make_store(tmp_path, server.url)
    with pytest.raises(WeightsError, match=f"manifest says {SHA}.*removed"):
        fetch(store)
    assert list((tmp_path / "net").iterdir()) == []


def test_a_wrong_size_is_refused_before_it_is_fetched(tmp_path, server) -> None:
    server.content = b"<html>sign in to this network</html>"
    with pytest.raises(WeightsError, match=r"has 36 bytes, the manifest says 5,120,000"):
        fetch(make_store(tmp_path, server.url))
    assert not (tmp_path / "net" / "model.bin").exists()


@pytest.mark.parametrize("status", [404, 403, 401])
def test_a_refusal_is_not_repeated(tmp_path, server, status) -> None:
    server.script = [(status, {})]
    with pytest.raises(WeightsError, match=f"answers {status}.*revision"):
        fetch(make_store(tmp_path, server.url))
    assert len(server.ranges) == 1


def test_a_busy_server_is_asked_again(tmp_path, server) -> None:
    server.script = [(503, {}), (429, {})]
    assert fetch(make_store(tmp_path, server.url))[0].sha256 == SHA


def test_no_server(tmp_path) -> None:
    with pytest.raises(WeightsError, match="broke off 4 times"):
        fetch(make_store(tmp_path, "http://127.0.0.1:9/{file}"))


def test_a_redirect_out_of_https_is_refused(tmp_path, server) -> None:
    server.script = [(302, {"Location": "http://example.org/model.bin"})]
    with pytest.raises(WeightsError, match="not https"):
        fetch(make_store(tmp_path, server.url))


def test_without_a_hash_says_so_and_never_joins_halves(tmp_path, server) -> None:
    server.break_after = 3_000_000
    store = make_store(tmp_path, server.url, sha256=None, size_bytes=None)
    with pytest.raises(WeightsError, match="broke off"):
        fetch(store)
    assert server.ranges == [None] * 4
    server.break_after = None
    (result,) = fetch(store)
    assert (result.sha256, result.is_checked) == (SHA, False)
    assert SHA in (tmp_path / "net" / RECORD_FILE).read_text()


def test_replaces_a_damaged_file(tmp_path, server) -> None:
    store = make_store(tmp_path, server.url)
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "model.bin").write_bytes(CONTENT[:100])
    (result,) = fetch(store)
    assert result.is_new
    assert result.path.read_bytes() == CONTENT


def test_weights_without_an_address(tmp_path) -> None:
    with pytest.raises(WeightsError, match="by hand"):
        fetch(make_store(tmp_path, ""))
