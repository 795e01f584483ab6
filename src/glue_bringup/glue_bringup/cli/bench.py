"""`glue bench`: measurements against recorded truth."""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
from tqdm import tqdm

from glue_bringup.cli import bench_graph, bench_policy, bench_seams
from glue_perception.config import load_config, suggest, to_mapping
from glue_perception.errors import ConfigError
from glue_perception.picture import make_folder_of, write_picture
from glue_perception.pipeline import TRACKERS, PerceptionConfig
from glue_perception.provenance import provenance
from glue_perception.trackers.base import PointTracker
from glue_perception.tracking_benchmark.baseline import PlainLucasKanade
from glue_perception.tracking_benchmark.clip_run import ClipRun, find_clip, run_clip
from glue_perception.tracking_benchmark.labels import LabelledClip, read_labels
from glue_perception.tracking_benchmark.replay_video import write_video
from glue_perception.tracking_benchmark.score import score_clip
from glue_perception.tracking_benchmark.sheet import ContactSheet

_BASELINE = "plain_lucas_kanade"


def register(subparsers: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    """Add `bench` to the `glue` command."""
    parser = subparsers.add_parser("bench", help="measure components against recorded truth")
    benches = parser.add_subparsers(
        title="benchmarks", dest="bench", metavar="BENCH", required=True, parser_class=type(parser)
    )
    tracking = benches.add_parser(
        "tracking",
        help="point trackers against points labelled by hand in video clips",
        description="Start the tracker at the labelled points of each clip's first labelled frame, follow them to "
        "the end, and compare with the labels. Writes a report (JSON) and one picture per clip.",
    )
    tracking.add_argument(
        "--clips", type=Path, required=True, metavar="DIR", help="folder of the video clips"
    )
    tracking.add_argument("--labels", type=Path, required=True, metavar="FILE", help="labels (JSON)")
    tracking.add_argument(
        "--tracker",
        default="lucas_kanade",
        metavar="NAME",
        help=f"{', '.join(sorted(TRACKERS))}, or {_BASELINE} for comparison (default lucas_kanade)",
    )
    tracking.add_argument("--report", type=Path, required=True, metavar="FILE", help="report to write (JSON)")
    tracking.add_argument("--config", type=Path, help="YAML file with the perception section's keys")
    tracking.add_argument("--size", metavar="WxH", help="bring frames to this size first, e.g. 640x480")
    tracking.add_argument("--threads", type=int, default=1, help="threads of OpenCV (default 1)")
    tracking.add_argument(
        "--pictures", type=Path, metavar="DIR", help="folder for the pictures (default: that of the report)"
    )
    tracking.add_argument(
        "--video", action="store_true", help="also write each clip with the tracks drawn on it"
    )
    tracking.set_defaults(run=run_tracking)
    bench_policy.register(benches)
    bench_seams.register(benches)
    bench_graph.register(benches)


def run_tracking(args: argparse.Namespace) -> int:
    """Run `glue bench tracking`; returns the exit code."""
    config = load_config(PerceptionConfig, args.config) if args.config else PerceptionConfig()
    make_tracker = _tracker_maker(args.tracker, config)
    size_px = _size(args.size)
    if args.threads < 1:
        raise ConfigError(f"--threads must be 1 or more, not {args.threads}")
    cv2.setNumThreads(args.threads)
    clips = read_labels(args.labels)
    if not args.clips.is_dir():
        raise ConfigError(f"--clips {args.clips} is not a folder; name the folder that holds the videos")
    paths = {clip.name: find_clip(args.clips, clip.name) for clip in clips}
    if all(path is None for path in paths.values()):
        raise ConfigError(
            f"{args.clips} holds none of the labelled clips ({', '.join(paths)}); check --clips and --labels"
        )
    make_folder_of(args.report)
    pictures = args.pictures or args.report.parent
    report: dict[str, Any] = {}
    update_ms: list[float] = []
    for clip in clips:
        path = paths[clip.name]
        if path is None:
            print(f"{clip.name}: no such clip in {args.clips}, left out")
            continue
        run = _run(path, clip, make_tracker, config, size_px, pictures, args)
        update_ms += run.update_ms
        report[clip.name] = score_clip(clip, run)
        print(_table(clip, report[clip.name]))
    report["ms_per_frame"] = round(statistics.median(update_ms), 3) if update_ms else 0.0
    _write(args.report, report)
    about = args.report.with_name(f"{args.report.stem}_about.json")
    _write(about, _about(args, config, [name for name, path in paths.items() if path is None]))
    print(_summary(clips, report))
    print(f"report   {args.report}\nabout    {about}\npictures {pictures}")
    return 0


def _tracker_maker(name: str, config: PerceptionConfig) -> Callable[[], PointTracker]:
    if name == _BASELINE:
        return PlainLucasKanade
    if name not in TRACKERS:
        raise ConfigError(f"unknown tracker {name!r}.{suggest(name, [*TRACKERS, _BASELINE])}")
    chosen = dataclasses.replace(config, tracker=name)
    return lambda: TRACKERS[name](chosen)


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit() and 32 <= int(width) <= 8192 and 32 <= int(height) <= 8192):
        raise ConfigError(f"--size must be WxH in px, 32 to 8192 each, e.g. 640x480, not {text!r}")
    return int(width), int(height)


def _run(
    path: Path,
    clip: LabelledClip,
    make_tracker: Callable[[], PointTracker],
    config: PerceptionConfig,
    size_px: tuple[int, int] | None,
    pictures: Path,
    args: argparse.Namespace,
) -> ClipRun:
    sheet = ContactSheet(clip)
    with tqdm(desc=clip.name, unit="frame", leave=False) as bar:

        def on_frame(frame: Any, index: int) -> None:
            sheet.add(frame, index)
            bar.update()

        run = run_clip(path, clip, make_tracker, config.health, size_px, on_frame)
    write_picture(pictures / f"{clip.name}_{args.tracker}.png", sheet.draw(run))
    if args.video:
        write_video(pictures / f"{clip.name}_{args.tracker}.mp4", path, clip, run)
    return run


def _table(clip: LabelledClip, scores: dict[str, Any]) -> str:
    width = max(len(point.name) for point in clip.points)
    lines = [
        f"{clip.name}  ({scores['ms_per_frame']:.1f} ms per frame)",
        f"  {'point':<{width}}  median   max px   tracked/visible   tracked/hidden",
    ]
    for point in clip.points:
        s = scores[point.name]
        median, largest = (f"{s[k]:7.2f}" if s[k] is not None else "      -" for k in ("median_px", "max_px"))
        seen = f"{s['visible_called_tracked']}/{s['visible_frames']}"
        lines.append(
            f"  {point.name:<{width}} {median}  {largest}   {seen:>15}   "
            f"{s['hidden_called_tracked']}/{s['hidden_frames']:<12}"
        )
    return "\n".join(lines)


def _summary(clips: list[LabelledClip], report: dict[str, Any]) -> str:
    points = [report[c.name][p.name] for c in clips if c.name in report for p in c.points]
    medians = [p["median_px"] for p in points if p["median_px"] is not None]
    total = {key: sum(p[key] for p in points) for key in ("hidden_frames", "hidden_called_tracked")}
    seen = sum(p["visible_called_tracked"] for p in points), sum(p["visible_frames"] for p in points)
    return (
        f"{len(points)} points: median error {statistics.median(medians):.2f} px, worst point "
        f"{max(medians):.2f} px; visible frames called tracked {seen[0]} of {seen[1]}; hidden frames called "
        f"tracked {total['hidden_called_tracked']} of {total['hidden_frames']}; "
        f"{report['ms_per_frame']:.2f} ms per frame"
    )


def _about(args: argparse.Namespace, config: PerceptionConfig, left_out: list[str]) -> dict[str, Any]:
    return {
        "tracker": args.tracker,
        "labels": args.labels.name,
        "clips_left_out": left_out,
        "size": args.size or "that of each clip",
        "opencv_threads": args.threads,
        "config": to_mapping(config),
        **provenance(),
    }


def _write(path: Path, data: dict[str, Any]) -> None:
    try:
        path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
