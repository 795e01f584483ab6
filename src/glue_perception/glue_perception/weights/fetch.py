"""Downloading weights: resumed after an interruption, and put in place only when size and hash are right."""

from __future__ import annotations

import http.client
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import IO, Any

from glue_perception.errors import WeightsError
from glue_perception.weights.manifest import WeightsEntry, WeightsFile, is_safe_url
from glue_perception.weights.store import FileState, WeightsStore, sha256_of

_CHUNK_BYTES = 1 << 20
_TIMEOUT_S = 30.0
_ATTEMPTS = 4
_SPARE_BYTES = 1 << 28
"""Free space that must be left on the disk besides the file itself."""

OnProgress = Callable[[str, int, int | None], None]
"""Called with the file's name, the bytes it has so far, and its whole size where that is known."""


@dataclass(frozen=True)
class Fetched:
    """What became of one file.

    Attributes:
        path: Where it lies now.
        sha256: As it was computed here.
        is_checked: Whether the manifest had a hash to hold it against.
        is_new: False if it was there already.
    """

    path: Path
    sha256: str
    is_checked: bool
    is_new: bool


class _BrokenOffError(Exception):
    """The connection broke; what was received is kept and the next attempt goes on from there."""


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https only, so that a redirect cannot take the encryption away."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if not is_safe_url(newurl):
            raise WeightsError(
                f"{req.full_url} redirects to {newurl}, which is not https; nothing was fetched"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch_entry(
    store: WeightsStore, entry: WeightsEntry, on_progress: OnProgress, *, pause_s: float = 2.0
) -> list[Fetched]:
    """Bring all files of an entry into the store; what is there and whole is left alone.

    Args:
        store: Where to.
        entry: What.
        on_progress: Told how far each file is.
        pause_s: Between attempts after a broken connection; it doubles each time.

    Raises:
        WeightsError: the entry has no address, the server does not give the file, the connection breaks again and
            again, the disk is full, or size or hash are wrong. What was received of a file is kept for the next
            call, except if its hash is wrong.
    """
    if not entry.url:
        raise WeightsError(
            f"weights {entry.name} have no url in the manifest; put them into {store.folder(entry)} by hand"
        )
    results = []
    for file, status in zip(entry.files, store.status(entry), strict=True):
        if status.state in (FileState.PRESENT, FileState.UNCHECKED):
            is_checked = status.state is FileState.PRESENT
            results.append(Fetched(status.path, str(status.sha256), is_checked, is_new=False))
        else:
            results.append(_fetch_file(store, entry, file, on_progress, pause_s))
    return results


def _fetch_file(
    store: WeightsStore, entry: WeightsEntry, file: WeightsFile, on_progress: OnProgress, pause_s: float
) -> Fetched:
    path = store.folder(entry) / file.name
    download = _Download(entry.url_of(file), path.with_name(f"{file.name}.part"), file, on_progress)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        download.run(pause_s)
        seen = download.check()
        download.part.replace(path)
    except OSError as error:
        raise WeightsError(
            f"cannot write {path}: {error}; free some space or set GLUE_WEIGHTS_DIR"
        ) from error
    store.record(path, seen)
    return Fetched(path, seen, file.sha256 is not None, is_new=True)


class _Download:
    """One file on its way, in `part`."""

    def __init__(self, url: str, part: Path, file: WeightsFile, on_progress: OnProgress) -> None:
        self.part = part
        self._url, self._file, self._on_progress = url, file, on_progress

    def run(self, pause_s: float) -> None:
        """Receive until the file is complete; connections may break a few times."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._receive()
                return
            except _BrokenOffError as error:
                if attempt == _ATTEMPTS:
                    raise WeightsError(
                        f"fetching {self._url} broke off {attempt} times, last: {error}. {self._size():,} bytes are "
                        f"kept in {self.part}; run the same command again to go on from there"
                    ) from error
                time.sleep(pause_s * 2 ** (attempt - 1))

    def check(self) -> str:
        """Return the hash of what was received.

        Raises:
            WeightsError: it is not the one in the manifest; the file is removed, since going on would not mend it.
        """
        seen = sha256_of(self.part)
        if self._file.sha256 not in (None, seen):
            self.part.unlink()
            raise WeightsError(
                f"{self._url} is not the file it should be: its sha256 is {seen}, the manifest says "
                f"{self._file.sha256}. It was removed. A proxy or mirror may have sent another page; if the "
                "publisher changed the file, report it"
            )
        return seen

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _receive(self) -> None:
        # Without a hash nobody would notice if the two halves were of different versions.
        if self._file.sha256 is None or self._size() > (self._file.size_bytes or self._size()):
            self.part.unlink(missing_ok=True)
        have = self._size()
        if have and have == self._file.size_bytes:
            return
        headers = {"User-Agent": "glue-weights", "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        try:
            # Only https and this machine: `is_safe_url` was asked when the manifest was read.
            request = urllib.request.Request(self._url, headers=headers)  # noqa: S310
            opener = urllib.request.build_opener(_SafeRedirects)
            with opener.open(request, timeout=_TIMEOUT_S) as response:
                self._take(response, have)
        except urllib.error.HTTPError as error:
            self._refused(error, have)
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            raise _BrokenOffError(
                str(getattr(error, "reason", "") or error or type(error).__name__)
            ) from error

    def _refused(self, error: urllib.error.HTTPError, have: int) -> None:
        if error.code == 416 and have:
            self.part.unlink()
            raise _BrokenOffError("the server has fewer bytes than are here; starting over") from error
        if error.code >= 500 or error.code == 429:
            raise _BrokenOffError(f"the server answers {error.code} {error.reason}") from error
        raise WeightsError(
            f"{self._url} cannot be fetched: the server answers {error.code} {error.reason}. Check the address and "
            "the revision in the manifest, or fetch the file in a browser and put it beside the others"
        ) from error

    def _take(self, response: Any, have: int) -> None:
        resumed = response.status == 206
        start, total = _extent(response.headers, have if resumed else 0)
        if resumed and start != have:
            self.part.unlink()
            raise _BrokenOffError(f"the server resumes at byte {start}, not {have}; starting over")
        if None not in (total, self._file.size_bytes) and total != self._file.size_bytes:
            raise WeightsError(
                f"{self._url} has {total:,} bytes, the manifest says {self._file.size_bytes:,}; nothing was fetched. "
                "A proxy may have sent another page"
            )
        total = total or self._file.size_bytes
        done = have if resumed else 0
        self._check_space((total or 0) - done)
        with self.part.open("ab" if resumed else "wb") as stream:
            self._on_progress(self._file.name, done, total)
            while piece := response.read(_CHUNK_BYTES):
                stream.write(piece)
                done += len(piece)
                self._on_progress(self._file.name, done, total)
        if total is not None and done < total:
            raise _BrokenOffError(f"{done:,} of {total:,} bytes were received")

    def _check_space(self, needed_bytes: int) -> None:
        free = shutil.disk_usage(self.part.parent).free
        if free < needed_bytes + _SPARE_BYTES:
            raise WeightsError(
                f"{self.part.parent} has {free / 1e9:.1f} GB free, {self._file.name} needs "
                f"{needed_bytes / 1e9:.1f} GB; free some space or set GLUE_WEIGHTS_DIR to another disk"
            )


def _extent(headers: Message, have: int) -> tuple[int, int | None]:
    """Return the first byte that the server sends and the size of the whole file, where it says so."""
    content_range = headers.get("Content-Range", "")
    if content_range.startswith("bytes "):
        span, _, whole = content_range[6:].partition("/")
        first = span.partition("-")[0]
        if first.isdigit():
            return int(first), int(whole) if whole.isdigit() else None
    length = headers.get("Content-Length", "")
    return have, have + int(length) if length.isdigit() else None
