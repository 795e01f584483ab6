"""`glue replay`: what would the policy do on this bag?"""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command `replay`."""
    parser = subparsers.add_parser(
        "replay",
        help="run perception and policy over a recorded bag and compare",
        description="Run perception and policy over a recorded bag; nothing moves. Reports whether key-patches and "
        "chunks come out bit for bit as recorded, the difference of the actions, and the latency per stage.",
    )
    parser.add_argument("bag", type=Path, help="a rosbag2 directory with MCAP storage")
    parser.add_argument("--policy", metavar="CKPT", help="another checkpoint than the recorded one")
    parser.add_argument("--task", metavar="TASK", help="another task configuration than the recorded one")
    parser.add_argument(
        "--video", type=Path, metavar="F", help="overlay video of what perception and policy say now"
    )
    parser.add_argument("--report", type=Path, metavar="F", help="report as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Replay the bag and print the comparison."""
    from glue_bringup.loop.bag_task import check_replayable

    check_replayable(args.bag, args.task or "")  # before anything heavy is loaded
    from glue_bringup.loop.replay import (
        ReplayComparison,
        make_replay_runner,
        redetections_of,
        replay,
        task_of_bag,
    )
    from glue_bringup.loop.run import write_report
    from glue_bringup.recording.bag_video import EpisodeVideo
    from glue_bringup.task_config import load_task
    from glue_perception.bags.reader import BagReader
    from glue_perception.timing import LatencyRecorder

    latencies = LatencyRecorder()
    comparison = ReplayComparison()
    with BagReader(args.bag) as bag:
        task = task_of_bag(bag) if args.task is None else load_task(args.task)
        runner = make_replay_runner(bag, task, args.policy, latencies)
        video = (
            EpisodeVideo(args.video, bag.metadata, task.camera.rate_hz) if args.video is not None else None
        )
        try:
            redetections = redetections_of(bag) if args.task is None else None
            for item in replay(bag, task, runner, latencies, redetections):
                comparison.add(item)
                if video is not None:
                    video.add(item.frame, item.patches, item.chunk)
        finally:
            if video is not None:
                video.close()
        report = comparison.report(args.bag, args.policy or bag.metadata.get("policy", ""), latencies)
    if args.report is not None:
        write_report(args.report, report)
    print(json.dumps(report, indent=2))
    return 0
