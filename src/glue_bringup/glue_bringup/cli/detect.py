"""`glue detect`: what perception makes of a first frame, before an episode is spent on it.

Writes a picture and a report, also when it refuses; then the exit code is that of `QueryError`, 3. The report is
JSON: the keys of `glue_perception.preflight_report.report_of`, and

    source (str)              what was looked at
    back_ends (object)        detector, segmenter, features and tracker by name
    latency_ms (object)       stage (preflight, update) -> {p50, p95, p99}
    tracking (object)         with --track only: num_frames, shares of tracked, occluded and lost points
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from glue_bringup.cli.follow import Follower
from glue_bringup.task_config import load_task
from glue_perception.cameras.base import Camera, CountingCamera
from glue_perception.cameras.clip import ClipCamera
from glue_perception.cameras.image import IMAGE_SUFFIXES
from glue_perception.cameras.realsense_config import RealSenseConfig
from glue_perception.cameras.sources import is_live, open_camera
from glue_perception.config import load_config, to_mapping
from glue_perception.errors import ConfigError
from glue_perception.keypoint_extractor import extraction_of
from glue_perception.overlay import draw_preflight
from glue_perception.picture import make_folder_of, write_picture
from glue_perception.pipeline import BACK_ENDS, PROFILES, PerceptionConfig, PerceptionPipeline, build_pipeline
from glue_perception.preflight import Preflight
from glue_perception.preflight_report import report_of, summary_lines
from glue_perception.redetection.config import RedetectionMode
from glue_perception.timing import NS_PER_S, LatencyRecorder
from glue_perception.types import CameraFrame

_OUTPUT_FOLDER = Path("out/detect")
_LIVE_TIMEOUT_S = 10.0
_WARM_UP_NS = NS_PER_S
"""Automatic exposure and white balance of a camera that has just been opened settle within about a second."""


def register(subparsers: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    """Add `detect` to the `glue` command."""
    parser = subparsers.add_parser(
        "detect",
        help="preflight: find queried objects in a picture, clip, bag or live camera, or say why not",
        description="Find the queried objects, place keypoints on them, and with --track follow them. Refuses what "
        "is absent, ambiguous or unusable, with the reason. Writes a picture and a report either way.",
    )
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a picture, a video clip, a rosbag2 directory, or realsense or realsense:SERIAL",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--query", action="append", help="what to look for, e.g. 'red button'; may be repeated")
    what.add_argument("--task", metavar="NAME", help="queries and perception of a task, by name or YAML file")
    parser.add_argument("--config", type=Path, help="YAML file with the perception section's keys")
    parser.add_argument(
        "--camera", type=Path, metavar="YAML", help="settings of a live camera, see docs/cameras.md"
    )
    parser.add_argument("--profile", metavar="NAME", help=f"set of back-ends: {', '.join(sorted(PROFILES))}")
    for role, known in BACK_ENDS.items():
        parser.add_argument(
            f"--{role}", metavar="NAME", help=f"instead of the profile's: {', '.join(sorted(known))}"
        )
    parser.add_argument("--num-keypoints", type=int, help="total over all queries (default 15)")
    parser.add_argument(
        "--box",
        action="append",
        default=[],
        metavar="X0,Y0,X1,Y1",
        help="give the box of a query by hand instead of detecting it; one per query, in their order",
    )
    parser.add_argument("--track", action="store_true", help="follow the points; a live camera until Ctrl-C")
    parser.add_argument(
        "--start-frame", type=int, default=0, metavar="K", help="frame to look at first (default 0)"
    )
    parser.add_argument("--max-frames", type=int, metavar="N", help="stop after N frames")
    parser.add_argument(
        "--frame",
        type=int,
        metavar="K",
        help="frame that the picture shows (default: the first one looked at)",
    )
    parser.add_argument("--json", action="store_true", help="print the report, and nothing else, to stdout")
    parser.add_argument("--output", type=Path, help=f"picture to write (default {_OUTPUT_FOLDER}/NAME.png)")
    parser.add_argument("--report", type=Path, help=f"report to write (default {_OUTPUT_FOLDER}/NAME.json)")
    parser.add_argument(
        "--video", type=Path, help=f"video to write with --track (default {_OUTPUT_FOLDER}/NAME.mp4)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code.

    Raises:
        QueryError: the first refusal, after picture and report are written.
    """
    first = _first_frame(args)
    config, queries = _perception(args)
    mode = RedetectionMode.BACKGROUND if is_live(args.source) else RedetectionMode.WAIT
    with build_pipeline(config, queries, mode) as pipeline:
        camera = open_camera(args.source, first, _camera_config(args))
        try:
            return _look(args, config, pipeline, camera, first)
        finally:
            camera.close()


def _look(
    args: argparse.Namespace,
    config: PerceptionConfig,
    pipeline: PerceptionPipeline,
    camera: CountingCamera,
    first: int,
) -> int:
    frame, latency = frame_to_look_at(args.source, camera, first), LatencyRecorder()
    with latency.measure("preflight"):
        found = pipeline.preflight(frame)
    picture, tracking = draw_preflight(frame, found), None
    if args.track and found.ok:
        pipeline.start(frame, found=found)
        follower = Follower(pipeline, _path(args, "video", ".mp4"), latency, first, args.frame)
        shown = follower.follow(frame, camera, _length(args, camera, first), is_live(args.source))
        picture = picture if shown is None else shown
        tracking = follower.statistics
    report = {
        **report_of(found, frame),
        "source": args.source,
        "back_ends": {role: config.back_end(role) for role in BACK_ENDS},
        "latency_ms": latency.summary(),
        "camera": to_mapping(camera.statistics),
    }
    if tracking:
        report["tracking"] = {
            **tracking.as_mapping(),
            "stream": to_mapping(pipeline.stream_counts),
            "redetection": to_mapping(pipeline.redetection_counts),
        }
    _write(args, picture, report)
    if args.json:
        print(json.dumps(report, indent=1))
    else:
        _print(args, found, report, tracking.table() if tracking else None)
    # Says the first refusal and gives the exit code; all of them are in the picture and the report by now.
    extraction_of(found)
    return 0


def _camera_config(args: argparse.Namespace) -> RealSenseConfig | None:
    if args.camera is None:
        return None
    if not is_live(args.source):
        raise ConfigError(f"--camera sets up a live camera, but {args.source} is a recording; leave it out")
    return load_config(RealSenseConfig, args.camera)


def _first_frame(args: argparse.Namespace) -> int:
    for name in ("start_frame", "frame", "max_frames"):
        value = getattr(args, name)
        if value is not None and value < (1 if name == "max_frames" else 0):
            raise ConfigError(f"--{name.replace('_', '-')} must not be {value}")
    if args.track and Path(args.source).suffix.lower() in IMAGE_SUFFIXES:
        raise ConfigError(f"{args.source} is a single picture; --track needs a clip, a bag or a live camera")
    if args.video is not None and not args.track:
        raise ConfigError("--video is written while tracking; add --track")
    return int(args.start_frame if args.track or args.frame is None else args.frame)


def _perception(args: argparse.Namespace) -> tuple[PerceptionConfig, tuple[str, ...]]:
    """Return the configuration, the command line's values over the file's, and the queries."""
    if args.task is not None and args.config is not None:
        raise ConfigError("--task brings its own perception section; leave out --config")
    if args.task is not None:
        task = load_task(args.task)
        config, queries = task.perception, task.queries
    else:
        config = load_config(PerceptionConfig, args.config) if args.config else PerceptionConfig()
        queries = tuple(args.query)
    names = ("profile", "num_keypoints", *BACK_ENDS)
    changes: dict[str, Any] = {n: getattr(args, n) for n in names if getattr(args, n) is not None}
    if args.box:
        if len(args.box) != len(queries):
            raise ConfigError(f"give one --box per query: there are {len(args.box)} for {len(queries)}")
        changes["detector"] = "given"
        changes["given_boxes"] = dict(zip(queries, map(_box, args.box), strict=True))
    return dataclasses.replace(config, **changes), queries


def _box(text: str) -> tuple[float, float, float, float]:
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--box must be four numbers x0,y0,x1,y1 in px, not {text!r}") from None
    return x0, y0, x1, y1


def frame_to_look_at(source: str, camera: Camera, first: int) -> CameraFrame:
    """Return the frame to look at: a recording's first, a live camera's newest after its warm-up.

    Raises:
        ConfigError: the recording holds no frame.
        HardwareError: no frame came.
    """
    frame = camera.read(_LIVE_TIMEOUT_S)
    if frame is None:
        raise ConfigError(f"{source} holds no frame {first}")
    ready_ns = frame.stamp_ns + _WARM_UP_NS
    while is_live(source) and frame.stamp_ns < ready_ns:
        newer = camera.read(_LIVE_TIMEOUT_S)
        if newer is None:
            break
        frame = newer
    return frame


def _length(args: argparse.Namespace, camera: Camera, first: int) -> int | None:
    """Return how many frames will be followed, None where the source does not say."""
    limit: int | None = args.max_frames
    if not isinstance(camera, ClipCamera) or camera.num_frames <= first:
        return limit
    return min(camera.num_frames - first, limit or camera.num_frames)


def _write(args: argparse.Namespace, picture: np.ndarray, report: dict[str, Any]) -> None:
    write_picture(_path(args, "output", ".png"), picture)
    report_path = _path(args, "report", ".json")
    make_folder_of(report_path)
    report_path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _print(args: argparse.Namespace, found: Preflight, report: dict[str, Any], table: str | None) -> None:
    times = report["latency_ms"]
    update = f", update {times['update']['p50']:.1f} ms (median)" if "update" in times else ""
    lines = [
        *summary_lines(found),
        *([] if table is None else [table, f"video    {_path(args, 'video', '.mp4')}"]),
    ]
    lines += [f"picture  {_path(args, 'output', '.png')}", f"report   {_path(args, 'report', '.json')}"]
    lines.append(f"preflight {times['preflight']['p50']:.0f} ms{update}")
    # After the first, which becomes the error's line.
    lines += [f"also refused: {refusal.message}" for refusal in found.refusals[1:]]
    print("\n".join(lines))


def _path(args: argparse.Namespace, name: str, suffix: str) -> Path:
    given: Path | None = getattr(args, name)
    if given is not None:
        return given
    stem = args.source.replace(":", "_") if is_live(args.source) else Path(args.source).resolve().stem
    return _OUTPUT_FOLDER / f"{stem}{suffix}"
