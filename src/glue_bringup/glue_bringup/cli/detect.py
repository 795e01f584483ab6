"""`glue detect`: what perception makes of a picture, a clip or a bag, before an episode is spent on it."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from glue_perception.cameras.clip import ClipCamera
from glue_perception.cameras.image import IMAGE_SUFFIXES, read_image
from glue_perception.config import load_config
from glue_perception.errors import ConfigError
from glue_perception.overlay import draw_extraction, draw_tracking
from glue_perception.picture import make_folder_of, write_picture
from glue_perception.pipeline import PerceptionConfig, PerceptionPipeline, build_pipeline
from glue_perception.redetection.config import RedetectionMode
from glue_perception.timing import NS_PER_S, LatencyRecorder
from glue_perception.track_statistics import TrackStatistics
from glue_perception.types import CameraFrame
from glue_perception.video import VideoWriter

_OUTPUT_FOLDER = Path("out/detect")
_VIDEO_RATE_HZ = 30.0


def register(subparsers: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    """Add `detect` to the `glue` command."""
    parser = subparsers.add_parser(
        "detect",
        help="find queried objects in a picture, clip or bag and draw boxes, masks and key-patches",
        description="Find the queried objects, place keypoints on them, and with --track follow them. "
        "Writes a picture, a report and, with --track, a video.",
    )
    parser.add_argument(
        "source", metavar="SOURCE", type=Path, help="a picture, a video clip or a rosbag2 directory"
    )
    parser.add_argument(
        "--query", action="append", required=True, help="what to look for, e.g. 'red button'; may be repeated"
    )
    parser.add_argument("--config", type=Path, help="YAML file with the perception section's keys")
    parser.add_argument("--num-keypoints", type=int, help="total over all queries (default 15)")
    parser.add_argument(
        "--box",
        action="append",
        default=[],
        metavar="X0,Y0,X1,Y1",
        help="give the box of a query by hand instead of detecting it; one per --query, in their order",
    )
    parser.add_argument("--track", action="store_true", help="follow the points through the clip or bag")
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
    parser.add_argument("--output", type=Path, help=f"picture to write (default {_OUTPUT_FOLDER}/NAME.png)")
    parser.add_argument("--report", type=Path, help=f"report to write (default {_OUTPUT_FOLDER}/NAME.json)")
    parser.add_argument(
        "--video", type=Path, help=f"video to write with --track (default {_OUTPUT_FOLDER}/NAME.mp4)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    first = _first_frame(args)
    pipeline = build_pipeline(_config(args), args.query, RedetectionMode.WAIT)
    frames = _frames(args.source, first)
    frame = next(frames, None)
    if frame is None:
        raise ConfigError(f"{args.source} holds no frame {first}")
    latency = LatencyRecorder()
    with latency.measure("start"):
        extraction = pipeline.start(frame)
    print(_found(pipeline))
    report = {"source": str(args.source), **_extraction_report(pipeline, frame)}
    picture = draw_extraction(frame, extraction, pipeline.key_patches)
    if args.track:
        tracked = _Tracking(pipeline, args, first, latency)
        shown = tracked.follow(itertools.chain([frame], frames), _length(args, first))
        report["tracking"] = tracked.statistics.as_mapping()
        picture = picture if shown is None else shown
        print(tracked.statistics.table())
    report["latency_ms"] = latency.summary()
    _write(args, picture, report)
    return 0


class _Tracking:
    """Follows the started episode through the source and draws every frame."""

    def __init__(
        self, pipeline: PerceptionPipeline, args: argparse.Namespace, first: int, latency: LatencyRecorder
    ) -> None:
        self.statistics = TrackStatistics(pipeline.queries)
        self._pipeline, self._latency = pipeline, latency
        self._first, self._picture_frame = first, args.frame
        self._video = _path(args, "video", ".mp4")

    def follow(self, frames: Iterator[CameraFrame], length: int | None) -> Any:
        """Update on every frame; return the picture of the frame asked for by --frame, or None."""
        shown = None
        with VideoWriter(self._video, _VIDEO_RATE_HZ) as video:
            for index, frame in enumerate(tqdm(itertools.islice(frames, length), total=length, unit="frame")):
                start = time.perf_counter()
                key_patches = self._pipeline.update(frame)
                elapsed_ms = (time.perf_counter() - start) * 1e3
                if index:
                    self._latency.add("update", elapsed_ms)
                self.statistics.add(key_patches)
                line = f"{frame.stamp_ns / NS_PER_S:6.2f} s   {elapsed_ms:4.1f} ms"
                picture = draw_tracking(frame, key_patches, self._pipeline.queries, [line])
                video.write(picture)
                if self._first + index == self._picture_frame:
                    shown = picture
        if self._picture_frame is not None and shown is None:
            raise ConfigError(f"--frame {self._picture_frame} is not among the frames that were tracked")
        print(f"video    {self._video}")
        return shown


def _first_frame(args: argparse.Namespace) -> int:
    for name in ("start_frame", "frame", "max_frames"):
        value = getattr(args, name)
        if value is not None and value < (1 if name == "max_frames" else 0):
            raise ConfigError(f"--{name.replace('_', '-')} must not be {value}")
    if args.track and args.source.suffix.lower() in IMAGE_SUFFIXES:
        raise ConfigError(f"{args.source} is a single picture; --track needs a clip or a bag")
    if args.video is not None and not args.track:
        raise ConfigError("--video is written while tracking; add --track")
    return int(args.start_frame if args.track or args.frame is None else args.frame)


def _config(args: argparse.Namespace) -> PerceptionConfig:
    config = load_config(PerceptionConfig, args.config) if args.config else PerceptionConfig()
    changes: dict[str, Any] = {}
    if args.num_keypoints is not None:
        changes["num_keypoints"] = args.num_keypoints
    if args.box:
        if len(args.box) != len(args.query):
            raise ConfigError(f"{len(args.box)} --box for {len(args.query)} --query; give one box per query")
        changes["detector"] = "given"
        changes["given_boxes"] = dict(zip(args.query, map(_box, args.box), strict=True))
    return dataclasses.replace(config, **changes)


def _box(text: str) -> tuple[float, float, float, float]:
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--box must be four numbers x0,y0,x1,y1 in px, not {text!r}") from None
    return x0, y0, x1, y1


def _frames(source: Path, first: int) -> Iterator[CameraFrame]:
    if not source.exists():
        raise ConfigError(f"{source} does not exist; give a picture, a video clip or a rosbag2 directory")
    if source.is_dir():
        from glue_perception.bags.reader import BagReader

        return itertools.islice(BagReader(source).frames(), first, None)
    if source.suffix.lower() in IMAGE_SUFFIXES:
        return itertools.islice(iter([read_image(source)]), first, None)
    return ClipCamera(source, start_frame=first).frames()


def _length(args: argparse.Namespace, first: int) -> int | None:
    """Return how many frames will be followed, None where the source does not say."""
    if args.source.is_dir():
        return int(args.max_frames) if args.max_frames is not None else None
    camera = ClipCamera(args.source)
    camera.close()
    left = camera.num_frames - first
    if left <= 0:
        return int(args.max_frames) if args.max_frames is not None else None
    return left if args.max_frames is None else min(left, int(args.max_frames))


def _found(pipeline: PerceptionPipeline) -> str:
    extraction = pipeline.extraction
    lines = []
    for index, (detection, mask) in enumerate(zip(extraction.detections, extraction.masks, strict=True)):
        x0, y0, x1, y1 = (round(float(v)) for v in detection.box_xyxy_px)
        count = int((extraction.keypoints.query_index == index).sum())
        lines.append(
            f"{detection.query}: box {x0},{y0},{x1},{y1}  score {detection.score:.2f}  "
            f"mask {int(mask.sum())} px  {count} keypoints"
        )
    return "\n".join(lines)


def _extraction_report(pipeline: PerceptionPipeline, frame: CameraFrame) -> dict[str, Any]:
    extraction, key_patches = pipeline.extraction, pipeline.key_patches
    return {
        "queries": list(pipeline.queries),
        "width_px": frame.width_px,
        "height_px": frame.height_px,
        "stamp_ns": frame.stamp_ns,
        "detections": [
            {
                "query": detection.query,
                "box_xyxy_px": detection.box_xyxy_px.tolist(),
                "score": round(detection.score, 4),
                "mask_area_px": int(mask.sum()),
            }
            for detection, mask in zip(extraction.detections, extraction.masks, strict=True)
        ],
        "keypoints": [
            {"query_index": int(query), "xy_px": xy.tolist(), "row_col": cell.tolist()}
            for query, xy, cell in zip(
                key_patches.query_index, key_patches.xy_px, key_patches.row_col, strict=True
            )
        ],
    }


def _write(args: argparse.Namespace, picture: Any, report: dict[str, Any]) -> None:
    output, report_path = _path(args, "output", ".png"), _path(args, "report", ".json")
    write_picture(output, picture)
    make_folder_of(report_path)
    report_path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    times = report["latency_ms"]
    update = f", update {times['update']['p50']:.1f} ms (median)" if "update" in times else ""
    print(f"picture  {output}\nreport   {report_path}\nstart {times['start']['p50']:.0f} ms{update}")


def _path(args: argparse.Namespace, name: str, suffix: str) -> Path:
    given: Path | None = getattr(args, name)
    return given if given is not None else _OUTPUT_FOLDER / f"{args.source.resolve().stem}{suffix}"
