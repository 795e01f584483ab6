"""`glue attention`: what does this policy look at in this bag?"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from glue_bringup.cli.sim import positive_int

TOKENS_PER_SIDE = 14


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command `attention`."""
    parser = subparsers.add_parser(
        "attention",
        help="video of what a policy looks at in a recorded bag",
        description="Draw what a policy looks at, frame by frame: which key-patches the global tokens attend to, "
        "where the image changes its answer, and how far the predicted path moves when a key-patch is hidden. "
        "Policies without attention get the saliency alone. Nothing moves.",
    )
    parser.add_argument("bag", type=Path, help="a rosbag2 directory with MCAP storage")
    parser.add_argument("--policy", metavar="CKPT", help="another checkpoint than the recorded one")
    parser.add_argument("--task", metavar="TASK", help="another task configuration than the recorded one")
    parser.add_argument("--output", type=Path, required=True, metavar="F", help="the video, .mp4 or .mkv")
    parser.add_argument(
        "--saliency",
        choices=("condition", "action"),
        default="condition",
        help="of the condition vector (default) or of the predicted chunk",
    )
    parser.add_argument(
        "--token",
        type=_token,
        metavar="ROW,COL",
        help=f"draw this global token's attention, 0..{TOKENS_PER_SIDE - 1} each; default: the most selective one of "
        "each frame",
    )
    parser.add_argument(
        "--every", type=positive_int, default=1, metavar="N", help="take every N-th frame; default: 1"
    )
    parser.add_argument(
        "--pictures", type=positive_int, default=4, metavar="N", help="frames written as PNG; default: 4"
    )
    parser.set_defaults(run=run)


def _token(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+),(\d+)", text)
    if match is None or max(map(int, match.groups())) >= TOKENS_PER_SIDE:
        raise argparse.ArgumentTypeError(f"must be ROW,COL in 0..{TOKENS_PER_SIDE - 1}, not {text!r}")
    return int(match[1]), int(match[2])


def run(args: argparse.Namespace) -> int:
    """Write the video and print where it is."""
    from glue_bringup.loop.pilot import EXPERT, make_runner
    from glue_bringup.loop.replay import task_of_bag
    from glue_bringup.recording.attribution_picture import Token
    from glue_bringup.recording.attribution_video import write_attribution_video
    from glue_bringup.task_config import load_task
    from glue_perception.bags.reader import BagReader
    from glue_perception.timing import LatencyRecorder
    from glue_policy.checkpoint import find_checkpoint, load_policy
    from glue_policy.policies.attribution import Attributor, SaliencyTarget

    with BagReader(args.bag) as bag:
        task = task_of_bag(bag) if args.task is None else load_task(args.task)
        name = args.policy or bag.metadata.get("policy", task.policy.checkpoint)
        if name == EXPERT:
            name = task.policy.checkpoint
        policy = load_policy(find_checkpoint(name))
        files = write_attribution_video(
            bag,
            task,
            make_runner(policy, task, int(bag.metadata.get("seed", "0")), LatencyRecorder()),
            Attributor(policy, SaliencyTarget(args.saliency), torch_threads=task.policy.torch_threads),
            args.output,
            title=f"{policy.name} ({Path(name).name})",
            token=None if args.token is None else Token(*args.token),
            every=args.every,
            pictures=args.pictures,
        )
    for file in files:
        print(file)
    return 0
