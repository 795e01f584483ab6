"""`glue weights`: which pretrained weights there are, fetching them, and checking that they are whole."""

from __future__ import annotations

import argparse
import json
from typing import Any

from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from glue_perception.errors import ConfigError, WeightsError
from glue_perception.weights.fetch import Fetched, fetch_entry
from glue_perception.weights.manifest import WeightsEntry
from glue_perception.weights.store import FileState, FileStatus, WeightsStore

_OPEN_LICENCES = {"Apache-2.0", "MIT", "BSD-3-Clause"}


def register(subparsers: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    """Add `weights` to the `glue` command."""
    parser = subparsers.add_parser(
        "weights",
        help="list, fetch and verify the pretrained weights of the full profile",
        description="List, fetch and verify pretrained weights. They lie in GLUE_WEIGHTS_DIR, or "
        "~/.cache/glue/weights where that is not set; the folder can be copied to a machine without network.",
    )
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser(
        "list", help="show all weights, their licence, size and whether they are here"
    )
    listing.add_argument("--json", action="store_true", help="print a list for programs")
    listing.set_defaults(run=run_list)
    fetching = actions.add_parser("fetch", help="download weights; an interrupted download is resumed")
    fetching.add_argument(
        "names", metavar="NAME", nargs="*", help="weights to fetch, see `glue weights list`"
    )
    fetching.add_argument("--profile", help="fetch what this perception profile needs, e.g. full")
    fetching.set_defaults(run=run_fetch)
    verifying = actions.add_parser("verify", help="read weights again and compare their hashes")
    verifying.add_argument(
        "names", metavar="NAME", nargs="*", help="weights to verify (default: all that are here)"
    )
    verifying.add_argument("--json", action="store_true", help="print a list for programs")
    verifying.set_defaults(run=run_verify)


def run_list(args: argparse.Namespace) -> int:
    """Print all entries; returns the exit code."""
    store = WeightsStore()
    rows = [(entry, store.status(entry)) for entry in store.manifest.entries]
    if args.json:
        print(
            json.dumps({"directory": str(store.root), "weights": [_report(*row) for row in rows]}, indent=1)
        )
        return 0
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    for title in ("name", "state", "size", "licence", "used by"):
        table.add_column(title, justify="right" if title == "size" else "left", no_wrap=title != "used by")
    for entry, statuses in rows:
        table.add_row(entry.name, _state(statuses), _size(entry), entry.licence, entry.used_by)
    console = Console(highlight=False)
    console.print(table)
    console.print(
        f"\nin {store.root}; fetch with `glue weights fetch NAME` or `--profile full`", soft_wrap=True
    )
    return 0


def run_fetch(args: argparse.Namespace) -> int:
    """Download entries; returns the exit code."""
    store = WeightsStore()
    names = [*args.names, *(store.manifest.profile(args.profile) if args.profile else ())]
    if not names:
        raise ConfigError("say which weights: names (see `glue weights list`) or --profile full")
    entries = [store.manifest.entry(name) for name in dict.fromkeys(names)]
    for entry in entries:
        print(f"{entry.name}: {entry.what}. Licence {entry.licence}, from {entry.source or 'nowhere'}")
        if entry.licence not in _OPEN_LICENCES:
            print(
                f"  note: {entry.licence} restricts what you may do with these weights; read it at {entry.source}"
            )
        with _Bars() as bars:
            results = fetch_entry(store, entry, bars.show)
        for result in results:
            print(f"  {_told(result)}")
    return 0


def run_verify(args: argparse.Namespace) -> int:
    """Hash files again; returns the exit code.

    Raises:
        WeightsError: a file is damaged, or one of the entries that were named is not complete.
    """
    store = WeightsStore()
    entries = [store.manifest.entry(name) for name in args.names] or [
        entry for entry in store.manifest.entries if store.folder(entry).is_dir()
    ]
    total = sum(entry.size_bytes or 0 for entry in entries)
    with tqdm(total=total or None, unit="B", unit_scale=True, leave=False) as bar:
        rows = [
            (entry, store.status(entry, rehash=True, on_bytes=lambda n: _advance(bar, n)))
            for entry in entries
        ]
    if args.json:
        print(
            json.dumps({"directory": str(store.root), "weights": [_report(*row) for row in rows]}, indent=1)
        )
    else:
        for entry, statuses in rows:
            for status in statuses:
                note = f": {status.problem}" if status.problem else ""
                print(f"{status.state.value:10} {entry.name}/{status.name}{note}")
        if not rows:
            print(f"no weights in {store.root}; run `glue weights fetch --profile full`")
    _refuse_damaged(rows, must_be_complete=bool(args.names))
    return 0


def _refuse_damaged(rows: list[tuple[WeightsEntry, list[FileStatus]]], must_be_complete: bool) -> None:
    bad = {FileState.DAMAGED, FileState.MISSING} if must_be_complete else {FileState.DAMAGED}
    wrong = {entry.name: s.path for entry, statuses in rows for s in statuses if s.state in bad}
    if wrong:
        raise WeightsError(
            f"not whole: {', '.join(map(str, wrong.values()))}; run `glue weights fetch {' '.join(wrong)}`"
        )


class _Bars:
    """A progress bar for each file that comes."""

    def __init__(self) -> None:
        self._name = ""
        self._bar: Any = None

    def __enter__(self) -> _Bars:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, name: str, done: int, total: int | None) -> None:
        if name != self._name:
            self.__exit__()
            self._name = name
            self._bar = tqdm(total=total, desc=f"  {name}", unit="B", unit_scale=True, leave=False)
        self._bar.n = done
        self._bar.refresh() if done == total else self._bar.update(0)


def _advance(bar: Any, count: int) -> None:
    bar.update(count)


def _told(result: Fetched) -> str:
    what = f"{'fetched' if result.is_new else 'here already'}: {result.path}"
    if result.is_checked:
        return what
    return f"{what}\n    not checked: the manifest has no hash for it; sha256 {result.sha256} was recorded beside it"


def _state(statuses: list[FileStatus]) -> str:
    states = {status.state for status in statuses}
    if states == {FileState.MISSING}:
        return "missing"
    for worst in (FileState.DAMAGED, FileState.MISSING, FileState.UNCHECKED):
        if worst in states:
            return "incomplete" if worst is FileState.MISSING else worst.value
    return "present"


def _size(entry: WeightsEntry) -> str:
    return "unknown" if entry.size_bytes is None else f"{entry.size_bytes / 1e6:,.0f} MB"


def _report(entry: WeightsEntry, statuses: list[FileStatus]) -> dict[str, Any]:
    return {
        "name": entry.name,
        "state": _state(statuses),
        "licence": entry.licence,
        "source": entry.source,
        "revision": entry.revision,
        "used_by": entry.used_by,
        "size_bytes": entry.size_bytes,
        "files": [
            {
                "name": status.name,
                "path": str(status.path),
                "state": status.state.value,
                "problem": status.problem,
                "sha256": status.sha256,
                "sha256_expected": file.sha256,
            }
            for file, status in zip(entry.files, statuses, strict=True)
        ],
    }
