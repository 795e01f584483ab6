"""`glue episodes`: look through recorded episodes, relabel and export them."""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from glue_perception.errors import ConfigError

if TYPE_CHECKING:
    from glue_bringup.recording.episode_listing import EpisodeRow

COLORS = {"success": "green", "failure": "yellow", "refused": "red", "unreadable": "red", "unfinished": "red"}


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command `episodes`."""
    parser = subparsers.add_parser(
        "episodes",
        help="list, show, relabel and export recorded episodes",
        description="Look through a folder of bags. Bags whose recorder was killed are finished first, with "
        "everything that reached the disk (docs/recording.md).",
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="folder of bags, e.g. data/push_button")
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)

    listing = actions.add_parser("list", help="a table of all episodes")
    listing.add_argument("--json", action="store_true", help="as JSON")
    listing.add_argument(
        "--audit", action="store_true", help="audit those that were recorded without an audit"
    )

    show = actions.add_parser("show", help="one episode: images, joints, commands and gripper as PNG")
    show.add_argument("episode", metavar="EPISODE", help="name or number")
    show.add_argument("--png", type=Path, metavar="F", help="default: DIR/EPISODE.png")
    show.add_argument(
        "--json", action="store_true", help="what is known of it as JSON, no picture unless --png"
    )

    relabel = actions.add_parser("relabel", help="change an outcome; the earlier one stays on record")
    relabel.add_argument("episode", metavar="EPISODE", help="name or number")
    relabel.add_argument("outcome", choices=("success", "failure", "discarded", "refused"))
    relabel.add_argument("--reason", default="", metavar="TEXT")
    relabel.add_argument("--by", default="", metavar="NAME")

    export = actions.add_parser("export", help="successful episodes as a dataset, as `glue export` does")
    export.add_argument("format", metavar="FORMAT", help="lerobot, robomimic or diffusion_policy")
    export.add_argument("out", type=Path, metavar="OUT", help="the new dataset; must not exist")
    export.add_argument(
        "--only", nargs="+", metavar="EPISODE", help="names or numbers; default: all successes"
    )
    export.add_argument(
        "--images", choices=("video", "png"), default="video", help="lerobot only; default: video"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Do what is asked; unreadable bags are rows of the table, not errors."""
    from glue_bringup.recording.episode_listing import repair_all

    notes = repair_all(args.directory)
    if not getattr(args, "json", False):
        for line in notes:
            print(line)
    return {"list": _list, "show": _show, "relabel": _relabel, "export": _export}[args.action](args)


def _list(args: argparse.Namespace) -> int:
    from glue_bringup.recording.audit import AuditConfig
    from glue_bringup.recording.episode_listing import list_episodes

    rows = list_episodes(args.directory, AuditConfig() if args.audit else None)
    if args.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        _print_table(rows)
    return 0


def _show(args: argparse.Namespace) -> int:
    from glue_bringup.recording.audit import AuditConfig
    from glue_bringup.recording.episode_listing import find_episode, list_episodes
    from glue_bringup.recording.episode_sheet import write_sheet

    path = find_episode(args.directory, args.episode)
    row = next(r for r in list_episodes(args.directory, AuditConfig()) if r.name == path.name)
    picture = args.png or (None if args.json else args.directory / f"{path.name}.png")
    if picture is not None and not row.problem:
        write_sheet(path, picture)
    if args.json:
        print(json.dumps(asdict(row), indent=2))
        return 0
    print(f"{row.name}: {row.outcome}{f' ({row.problem})' if row.problem else ''}")
    for finding in row.findings:
        print(f"  {finding.severity.value}: {finding.text}")
    for entry in row.history:
        said = ", ".join(entry[key] for key in ("by", "reason") if key in entry)
        print(f"  {entry['at']}: {entry['from']} -> {entry['to']}{f' ({said})' if said else ''}")
    if picture is not None and not row.problem:
        print(f"  picture: {picture}")
    return 0


def _relabel(args: argparse.Namespace) -> int:
    from glue_bringup.recording.episode_listing import find_episode, relabel
    from glue_bringup.recording.episode_recorder import Outcome

    path = find_episode(args.directory, args.episode)
    before = relabel(path, Outcome(args.outcome), args.by, args.reason)
    print(f"{path.name}: {before} -> {args.outcome}")
    return 0


def _export(args: argparse.Namespace) -> int:
    from glue_bringup.recording.episode_listing import find_episode, list_episodes
    from glue_bringup.recording.episode_recorder import Outcome
    from glue_policy.data.interchange.convert import export_bags
    from glue_policy.data.interchange.formats import find_format

    target = find_format(args.format, args.images)
    if args.only is None:
        count = export_bags(target, args.directory, args.out)
    else:
        chosen = [find_episode(args.directory, name) for name in dict.fromkeys(args.only)]
        with tempfile.TemporaryDirectory(prefix="glue_episodes_") as folder:
            for path in chosen:
                (Path(folder) / path.name).symlink_to(path.resolve(), target_is_directory=True)
            if all(row.outcome != Outcome.SUCCESS.value for row in list_episodes(Path(folder), None)):
                raise ConfigError("none of the chosen episodes is a success; relabel them first if they are")
            count = export_bags(target, Path(folder), args.out)
        if count < len(chosen):
            raise ConfigError(
                f"{args.out} was written with {count} of the {len(chosen)} chosen episodes: the others are no "
                "successes; relabel them first if they are"
            )
    print(f"{count} demonstrations written to {args.out}")
    return 0


def _print_table(rows: list[EpisodeRow]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for name in ("episode", "task", "outcome", "by"):
        table.add_column(name, no_wrap=True)
    for name in ("length", "actions", "size"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("audit", no_wrap=True)
    for row in rows:
        color = COLORS.get(row.outcome, "default")
        label = f"[{color}]{row.outcome}[/]" + ("*" if row.history else "")
        table.add_row(
            row.name,
            row.task,
            label,
            row.operator or row.demonstrator,
            f"{row.duration_s:.1f} s",
            f"{row.action_hz:.1f} Hz",
            f"{row.size_bytes / 1e6:.1f} MB",
            _audit_in_a_word(row),
        )
    console = Console(highlight=False)
    console.print(table)
    for row in rows:
        notes = [row.problem] if row.problem else [f.text for f in row.findings]
        for note in notes:
            console.print(f"{row.name}: {note}", markup=False, soft_wrap=True)
    successes = sum(row.outcome == "success" for row in rows)
    console.print(f"{len(rows)} episodes, {successes} successes, {sum(r.duration_s for r in rows):.0f} s")
    if any(row.history for row in rows):
        console.print("* relabelled; `show` tells from what")


def _audit_in_a_word(row: EpisodeRow) -> str:
    if row.problem:
        return "unreadable"
    if not row.audited:
        return "not audited"
    return f"{len(row.findings)} findings" if row.findings else "ok"
