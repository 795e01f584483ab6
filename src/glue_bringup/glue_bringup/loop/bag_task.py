"""What a bag says of the episode that it holds: its task, when searches were taken in, what was frozen."""

from __future__ import annotations

from pathlib import Path

import yaml

from glue_bringup.loop.episode import HostKind
from glue_bringup.task_config import TaskConfig, load_task
from glue_perception.bags import topics
from glue_perception.bags.reader import BagReader
from glue_perception.config import from_mapping
from glue_perception.errors import BagError


def task_of_bag(bag: BagReader) -> TaskConfig:
    """Return the task as it was configured when the bag was recorded.

    Raises:
        BagError: the bag does not say it.
    """
    text = bag.metadata.get("task_config")
    if text is None:
        raise BagError(
            "the bag's metadata holds no task_config; give the task with --task, e.g. --task push_button "
            "(task:=push_button in a launch)"
        )
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BagError(f"the bag's task_config is not valid YAML: {error}") from error
    return from_mapping(TaskConfig, data, "task_config of the bag")


def task_to_replay(bag: BagReader, name: str) -> TaskConfig:
    """Return the task to replay a bag by: the bag's own, or another by name; as the bag's camera needs it.

    Raises:
        BagError: no name is given and the bag does not say its task.
        ConfigError: no such task.
    """
    task = load_task(name) if name else task_of_bag(bag)
    return task.for_simulation() if bag.metadata.get("host") in (HostKind.SYNC, HostKind.PROTOCOL) else task


def redetections_of(bag: BagReader) -> dict[int, int] | None:
    """Return when the recorded episode took in what was found again: stamp of the frame -> stamp of the snapshot.

    None if the bag holds no key-patches and so does not say.
    """
    patches = [(p.stamp_ns, p.redetected_from_ns) for p in bag.key_patches()]
    return {stamp_ns: from_ns for stamp_ns, from_ns in patches if from_ns} if patches else None


def frozen_of(bag: BagReader) -> dict[int, int]:
    """Return how many actions of each chunk were taken over from the one before, by stamp."""
    return {chunk.stamp_ns: chunk.frozen for chunk in bag.chunks()}


def check_replayable(path: Path, task: str) -> None:
    """Refuse a bag that perception and policy cannot be shown.

    Args:
        path: Of the bag.
        task: As of `task_to_replay`.

    Raises:
        BagError: no bag, damaged, without images or robot states, or with other types of messages than expected.
        ConfigError: no such task.
    """
    with BagReader(path) as bag:
        if next(bag.frames(), None) is None:
            raise BagError(f"{path} holds no images on {topics.IMAGE}; was the camera recorded?")
        if next(bag.robot_states(), None) is None:
            raise BagError(f"{path} holds no robot states on /glue/robot_state, so the policy cannot be run")
        task_to_replay(bag, task)
