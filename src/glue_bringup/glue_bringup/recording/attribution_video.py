"""From a bag and a checkpoint to the video of what the policy looks at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from glue_bringup.loop.episode import HostKind
from glue_bringup.recording.attribution_picture import Token, draw_attribution
from glue_bringup.task_config import TaskConfig
from glue_perception.bags.reader import BagReader
from glue_perception.errors import BagError
from glue_perception.picture import write_picture
from glue_perception.pipeline import build_pipeline
from glue_perception.redetection.config import RedetectionMode
from glue_perception.timing import NS_PER_S
from glue_perception.types import CameraFrame, KeyPatches, Observation, RobotState
from glue_perception.video import VideoWriter
from glue_policy.policies.attribution import Attributor
from glue_policy.runner import PolicyRunner


def write_attribution_video(
    bag: BagReader,
    task: TaskConfig,
    runner: PolicyRunner,
    attributor: Attributor,
    output: Path,
    *,
    title: str,
    token: Token | None = None,
    every: int = 1,
    pictures: int = 0,
) -> list[Path]:
    """Write the video, and some of its frames as PNG beside it; return all files.

    Args:
        bag: Open. Its key-patches are shown; where it holds none, perception runs.
        task: Rates, and perception for a bag without key-patches.
        runner: Turns observations into the policy's inputs.
        attributor: Of the same policy.
        output: The video.
        title: Beginning of the status line.
        token: See `draw_attribution`.
        every: Take each so many-th frame; the video's rate goes down accordingly.
        pictures: How many frames, evenly spread, are written as pictures too.

    Raises:
        BagError: no images or no robot states.
        ConfigError: a file cannot be written.
    """
    observations = list(_observations(bag, task))[::every]
    if not observations:
        raise BagError("the bag holds no images on /camera/camera/color/image_raw; was the camera recorded?")
    last = len(observations) - 1
    shown = {round(last * k / max(1, pictures - 1)) for k in range(pictures)}
    first_ns, files = observations[0].stamp_ns, [output]
    with VideoWriter(output, task.camera.rate_hz / every) as video:
        for index, observation in enumerate(
            tqdm(observations, desc="attention", unit="frame", dynamic_ncols=True)
        ):
            found = attributor.explain(runner.batch(observation))
            seconds = (observation.stamp_ns - first_ns) / NS_PER_S
            image = draw_attribution(
                observation.frame, observation.key_patches, found, token, f"{title}  {seconds:4.1f} s"
            )
            video.write(image)
            if index in shown:
                files.append(output.with_name(f"{output.stem}_{seconds:04.1f}s.png"))
                write_picture(files[-1], image)
    return files


def _observations(bag: BagReader, task: TaskConfig) -> Iterator[Observation]:
    states = {state.stamp_ns: state for state in bag.robot_states()}
    if not states:
        raise BagError("the bag holds no robot states on /glue/robot_state, so the policy cannot be run")
    for frame, patches in _key_patches(bag, task):
        yield Observation(frame, patches, _nearest(states, frame.stamp_ns))


def _key_patches(bag: BagReader, task: TaskConfig) -> Iterator[tuple[CameraFrame, KeyPatches]]:
    recorded = {patches.stamp_ns: patches for patches in bag.key_patches()}
    if recorded:
        yield from ((f, recorded[f.stamp_ns]) for f in bag.frames() if f.stamp_ns in recorded)
        return
    if bag.metadata.get("host") in (HostKind.SYNC, HostKind.PROTOCOL):
        task = task.for_simulation()
    with build_pipeline(task.perception, task.queries, RedetectionMode.WAIT) as pipeline:
        for index, frame in enumerate(bag.frames()):
            if index == 0:
                pipeline.start(frame)
                yield frame, pipeline.key_patches
            else:
                yield frame, pipeline.update(frame)


def _nearest(states: dict[int, RobotState], stamp_ns: int) -> RobotState:
    exact = states.get(stamp_ns)
    return exact if exact is not None else states[min(states, key=lambda s: abs(s - stamp_ns))]
