"""Reads rosbag2 directories (MCAP) without ROS: our own exactly, and those of `ros2 bag record`."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
from jaxtyping import Float, Float32

from glue_perception.bags import (
    camera_messages,
    foreign_robot_state,
    messages,
    metadata_yaml,
    robot_messages,
    topics,
)
from glue_perception.bags.mcap_file import McapFile
from glue_perception.bags.message_types import Buffer, decoder_for
from glue_perception.bags.writer import METADATA_RECORD
from glue_perception.errors import BagError
from glue_perception.timing import NS_PER_S
from glue_perception.types import ActionChunk, CameraFrame, KeyPatches, RobotState

T = TypeVar("T")

DEPTHS_KEPT = 4
"""How many depth images wait for the colour image of their stamp."""


class UnfinishedBagWarning(UserWarning):
    """The bag's writer was killed; what it had written by then is read."""


@dataclass(frozen=True)
class BagSummary:
    """What a bag holds.

    Attributes:
        message_counts: Topic -> number of messages.
        duration_s: From the first message to the last.
    """

    message_counts: dict[str, int]
    duration_s: float


class BagReader:
    """One bag. One thread; use as a context manager or call `close`.

    Every iterator starts at the bag's beginning and goes by log time. A topic that the bag lacks gives nothing,
    except images and robot states, without which there is nothing to do. Iterating raises BagError where the
    bag is damaged or holds impossible values.

    Args:
        path: The bag's directory. Without a metadata.yaml the bag was not finished: it is read as far as it
            goes, with an UnfinishedBagWarning.

    Attributes:
        path: The directory.
        metadata: What the recorder says of the bag.

    Raises:
        BagError: not a bag, stored in a way that cannot be read here, damaged or truncated.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stack = ExitStack()
        names, custom_data = _files(path)
        try:
            self._files = [self._stack.enter_context(McapFile(path / name)) for name in names]
            cut = [file.path.name for file in self._files if not file.complete]
            if cut and custom_data is not None:
                raise BagError(
                    f"{path}: {', '.join(cut)} is truncated; copy the bag again, or delete metadata.yaml to read "
                    "what is there"
                )
        except BaseException:
            self._stack.close()
            raise
        if custom_data is None:
            warnings.warn(
                f"{path} has no {metadata_yaml.FILE_NAME}: its recording was not finished; reading what is there",
                UnfinishedBagWarning,
                stacklevel=2,
            )
        recorded = self._files[0].metadata.get(METADATA_RECORD, {})
        self.metadata: dict[str, str] = {**recorded, **(custom_data or {})}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the bag's files."""
        self._stack.close()

    def summary(self) -> BagSummary:
        """Return topics, counts and duration.

        Raises:
            BagError: the bag is damaged.
        """
        counts: dict[str, int] = {}
        span: list[tuple[int, int]] = []
        for file in self._files:
            for channel_id, count in file.counts().items():
                channel = file.channels.get(channel_id)
                name = channel.topic if channel is not None else f"(unknown channel {channel_id})"
                counts[name] = counts.get(name, 0) + count
            if (file_span := file.span_ns()) is not None:
                span.append(file_span)
        duration_ns = max(s[1] for s in span) - min(s[0] for s in span) if span else 0
        return BagSummary(counts, duration_ns / NS_PER_S)

    def frames(self, on_bad: Callable[[BagError], None] | None = None) -> Iterator[CameraFrame]:
        """Yield the images with the intrinsics in force and, where recorded, the depth of the same stamp.

        The intrinsics are those of the same stamp where there are such, else of the camera_info before.

        Args:
            on_bad: Told of every image or depth image whose content is unusable (encoding, sizes, intrinsics), which
                is then left out. Without it the first of them ends the reading.

        Raises:
            BagError: no images, or no camera_info for them; a bad image, see `on_bad`.
        """
        self._require(topics.IMAGE, "was the camera recorded?")
        self._require(topics.CAMERA_INFO, "record the camera_info beside the images")
        # A camera_info may follow its image, so the first one holds from the beginning.
        first = next(self._messages(topics.CAMERA_INFO), None)
        if first is None:
            raise BagError(f"{self.path} announces {topics.CAMERA_INFO}, but holds no message on it")
        intrinsics = self._decoded(camera_messages.intrinsics_of, first[1], topics.CAMERA_INFO)
        depths: deque[tuple[int, Float32[np.ndarray, "height width"]]] = deque(maxlen=DEPTHS_KEPT)
        pending: tuple[Any, Float[np.ndarray, "3 3"]] | None = None
        for topic, message in self._messages(topics.CAMERA_INFO, topics.ALIGNED_DEPTH, topics.IMAGE):
            if topic == topics.CAMERA_INFO:
                intrinsics = self._decoded(camera_messages.intrinsics_of, message, topic)
                if pending is not None and message.header.stamp == pending[0].header.stamp:
                    pending = (pending[0], intrinsics)
            elif topic == topics.ALIGNED_DEPTH:
                depth = self._usable(camera_messages.depth_of, message, topic, on_bad)
                if depth is not None:
                    depths.append((self._decoded(messages.stamp_ns_of, message, topic), depth))
            else:
                if pending is not None and (frame := self._frame(*pending, depths, on_bad)) is not None:
                    yield frame
                pending = (message, intrinsics)
        if pending is not None and (frame := self._frame(*pending, depths, on_bad)) is not None:
            yield frame

    def robot_states(self) -> Iterator[RobotState]:
        """Yield the states: /glue/robot_state or, where it is absent, joint_states joined with current_pose.

        Raises:
            BagError: neither is there.
        """
        if self._has(topics.ROBOT_STATE):
            yield from self._values(topics.ROBOT_STATE, robot_messages.robot_state_of)
            return
        self._require(topics.JOINT_STATES, f"and no {topics.ROBOT_STATE} either; was the arm recorded?")
        self._require(topics.CURRENT_POSE, "joint states alone do not tell the tool's pose")
        join = foreign_robot_state.RobotStateJoin()
        for topic, message in self._messages(topics.JOINT_STATES, topics.CURRENT_POSE):
            state = self._decoded(join.add, message, topic)
            if state is not None:
                yield state

    def key_patches(self) -> Iterator[KeyPatches]:
        """Yield the key-patches of each frame."""
        return self._values(topics.KEY_PATCHES, messages.key_patches_of)

    def chunks(self) -> Iterator[ActionChunk]:
        """Yield what the policy predicted."""
        return self._values(topics.ACTION_CHUNK, messages.action_chunk_of)

    def demonstrated_actions(self) -> Iterator[ActionChunk]:
        """Yield what the demonstrator commanded, chunks of one action."""
        return self._values(topics.DEMONSTRATED_ACTION, messages.action_chunk_of)

    def targets(self) -> Iterator[tuple[int, Float[np.ndarray, "4 4"]]]:
        """Yield (stamp_ns, T_base_ee) of each pose handed to the arm."""
        if self._has(topics.TARGET):
            return self._values(topics.TARGET, robot_messages.target_of)
        return self._values(topics.TARGET_POSE, robot_messages.pose_of)

    def safety_events(self) -> Iterator[messages.SafetyEvent]:
        """Yield the decisions of the safety supervisor."""
        return self._values(topics.SAFETY_EVENT, messages.safety_event_of)

    def _frame(
        self,
        message: Any,
        intrinsics: Float[np.ndarray, "3 3"],
        depths: deque[tuple[int, Float32[np.ndarray, "height width"]]],
        on_bad: Callable[[BagError], None] | None,
    ) -> CameraFrame | None:
        def build(message: Any) -> CameraFrame:
            stamp_ns = messages.stamp_ns_of(message)
            depth = next((d for s, d in depths if s == stamp_ns), None)
            rgb = camera_messages.rgb_of(message)
            return CameraFrame(stamp_ns, message.header.frame_id, rgb, intrinsics, depth)

        return self._usable(build, message, topics.IMAGE, on_bad)

    def _values(self, topic: str, convert: Callable[[Any], T]) -> Iterator[T]:
        for _, message in self._messages(topic):
            yield self._decoded(convert, message, topic)

    def _usable(
        self,
        convert: Callable[[Any], T],
        message: Any,
        topic: str,
        on_bad: Callable[[BagError], None] | None,
    ) -> T | None:
        try:
            return self._decoded(convert, message, topic)
        except BagError as error:
            if on_bad is None:
                raise
            on_bad(error)
            return None

    def _decoded(self, convert: Callable[[Any], T], message: Any, topic: str) -> T:
        try:
            # Forged numbers may overflow in the checks that then refuse them.
            with np.errstate(over="ignore", invalid="ignore"):
                return convert(message)
        except (BagError, ValueError, OverflowError) as error:
            raise BagError(f"{self.path}: {topic}: {error}") from error

    def _messages(self, *wanted: str) -> Iterator[tuple[str, Any]]:
        """Yield (topic, message) by log time; the files of a split bag follow each other."""
        for file in self._files:
            channels = {c.id: c.topic for c in file.channels.values() if c.topic in wanted}
            decoders = {channel_id: self._decoder(file, channel_id) for channel_id in channels}
            for raw in file.messages(set(channels)):
                topic = channels[raw.channel_id]
                try:
                    message = decoders[raw.channel_id](raw.data)
                except Exception as error:  # the decoder is generated code, which meets forged bytes here
                    raise BagError(
                        f"{self.path}: a message on {topic} at {raw.log_ns} ns cannot be decoded ({error}); "
                        "the file is damaged"
                    ) from error
                yield topic, message

    def _decoder(self, file: McapFile, channel_id: int) -> Callable[[Buffer], Any]:
        channel = file.channels[channel_id]
        schema = file.schemas.get(channel.schema_id)
        expected = topics.MESSAGE_TYPES[channel.topic]
        found = schema.name if schema is not None else "no type"
        if schema is None or found != expected:
            raise BagError(f"{file.path}: {channel.topic} holds {found[:80]}, but {expected} is expected")
        if channel.message_encoding != "cdr":
            raise BagError(
                f"{file.path}: {channel.topic} is encoded as {channel.message_encoding[:20]!r}, not cdr"
            )
        return decoder_for(expected, schema.encoding, schema.data, str(file.path))

    def _has(self, topic: str) -> bool:
        return any(c.topic == topic for file in self._files for c in file.channels.values())

    def _require(self, topic: str, hint: str) -> None:
        if not self._has(topic):
            known = sorted({c.topic[:80] for file in self._files for c in file.channels.values()})[:30]
            raise BagError(
                f"{self.path} holds nothing on {topic}; {hint} It holds: {', '.join(known) or 'nothing'}"
            )


def _files(path: Path) -> tuple[list[str], dict[str, str] | None]:
    """Return a bag's MCAP files and its custom data, None where it was not finished."""
    if not path.exists():
        raise BagError(f"there is no bag at {path}")
    if not path.is_dir():
        raise BagError(f"{path} is a file; give the bag's directory, the one that holds metadata.yaml")
    found = metadata_yaml.read(path)
    if found is not None:
        return list(found.file_names), found.custom_data
    names = sorted(file.name for file in path.glob("*.mcap"))
    if not names:
        databases = [file.name for file in path.glob("*.db3*")]
        hint = (
            "convert it with `ros2 bag convert` to storage_id mcap"
            if databases
            else "is it a bag's directory?"
        )
        raise BagError(f"{path} holds no .mcap file{' but ' + databases[0] if databases else ''}; {hint}")
    return names, None
