"""Writes a rosbag2 directory (MCAP) that `ros2 bag info` and `ros2 bag play` accept, without ROS."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from jaxtyping import Float

from glue_perception.bags import camera_messages, messages, metadata_yaml, robot_messages, topics
from glue_perception.bags.mcap_writer import McapWriter, OpenFile, Stream, create_file
from glue_perception.bags.message_types import definition, type_hash, typestore
from glue_perception.errors import BagError
from glue_perception.types import ActionChunk, CameraFrame, KeyPatches, RobotState

METADATA_RECORD = "glue"
"""Name of the MCAP record that holds our metadata: written first, so that an unfinished bag has it, and last."""

LIBRARY = "glue"
"""Who wrote a file, by its header."""


class BagWriter:
    """One episode's bag. One thread; use as a context manager or call `close`.

    Readers order messages by log time, which here is the newest stamp written so far: it never runs back, and a
    chunk computed from an older frame comes after what was recorded while it was computed.

    Args:
        path: The directory to make; must not exist.
        metadata: What the bag says of itself.
        open_file: See `McapWriter`.

    Attributes:
        path: The directory.
        kept: After a failure, topic -> messages that are in the bag; None while all is well.

    Raises:
        BagError: the path exists or cannot be written, or a value does not fit its message; so do all methods.
    """

    def __init__(self, path: Path, metadata: Mapping[str, str], open_file: OpenFile = create_file) -> None:
        self.path = path
        self.kept: dict[str, int] | None = None
        self._metadata = dict(metadata)
        self._channels: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._first_ns: int | None = None
        self._log_ns = 0
        self._file_name = f"{path.name}_0.mcap"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            raise BagError(
                f"{path} exists already and is not overwritten; choose another path or remove it"
            ) from None
        except OSError as error:
            raise BagError(f"cannot make {path}: {error.strerror}") from error
        self._mcap: McapWriter | None = None
        try:
            self._mcap = McapWriter(path / self._file_name, LIBRARY, open_file)
            self._mcap.add_metadata(METADATA_RECORD, self._metadata)
        except OSError as error:
            raise self._failure(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def frame(self, frame: CameraFrame) -> None:
        """Add an image, its camera_info and, if it has one, its depth."""
        self._add(topics.CAMERA_INFO, frame.stamp_ns, camera_messages.camera_info_message(frame))
        if frame.depth_m is not None:
            depth = camera_messages.depth_message(frame, frame.depth_m)
            self._add(topics.ALIGNED_DEPTH, frame.stamp_ns, depth)
        self._add(topics.IMAGE, frame.stamp_ns, camera_messages.image_message(frame))

    def robot_state(self, state: RobotState) -> None:
        """Add a state: exactly, and as joint_states and current_pose for other tools."""
        self._add(topics.ROBOT_STATE, state.stamp_ns, robot_messages.robot_state_message(state))
        self._add(topics.JOINT_STATES, state.stamp_ns, robot_messages.joint_state_message(state))
        pose = robot_messages.pose_message(state.stamp_ns, state.T_base_ee)
        self._add(topics.CURRENT_POSE, state.stamp_ns, pose)

    def key_patches(self, patches: KeyPatches) -> None:
        """Add the key-patches of a frame."""
        self._add(topics.KEY_PATCHES, patches.stamp_ns, messages.key_patches_message(patches))

    def chunk(self, chunk: ActionChunk) -> None:
        """Add what the policy predicted."""
        self._add(topics.ACTION_CHUNK, chunk.stamp_ns, messages.action_chunk_message(chunk))

    def demonstrated_action(self, action: ActionChunk) -> None:
        """Add what a demonstrator commanded, a chunk of one action."""
        self._add(topics.DEMONSTRATED_ACTION, action.stamp_ns, messages.action_chunk_message(action))

    def target(self, stamp_ns: int, T_base_ee: Float[np.ndarray, "4 4"]) -> None:
        """Add a pose handed to the arm: exactly, and as target_pose for other tools."""
        self._add(topics.TARGET, stamp_ns, robot_messages.target_message(stamp_ns, T_base_ee))
        self._add(topics.TARGET_POSE, stamp_ns, robot_messages.pose_message(stamp_ns, T_base_ee))

    def safety_event(self, stamp_ns: int, mode: str, reason: str) -> None:
        """Add a decision of the safety supervisor."""
        event = messages.SafetyEvent(stamp_ns, mode, reason)
        self._add(topics.SAFETY_EVENT, stamp_ns, messages.safety_event_message(event))

    def add_metadata(self, metadata: Mapping[str, str]) -> None:
        """Add or replace what the bag says of itself; written by `close`."""
        self._metadata.update(metadata)

    def close(self) -> None:
        """Finish the bag. Further calls do nothing."""
        mcap, self._mcap = self._mcap, None
        if mcap is None:
            return
        try:
            information = self._information()
            mcap.add_metadata(METADATA_RECORD, self._metadata)
            mcap.add_metadata("rosbag2", {"serialized_metadata": metadata_yaml.dump(information)})
            mcap.close()
            metadata_yaml.write(self.path, information)
        except OSError as error:
            self._give_up(mcap)
            raise self._failure(error) from error

    def _give_up(self, mcap: McapWriter | None) -> None:
        if mcap is not None:
            counts = mcap.written_counts()
            self.kept = {topic: counts.get(channel_id, 0) for topic, channel_id in self._channels.items()}
            mcap.abort()

    def _add(self, topic: str, stamp_ns: int, message: Any) -> None:
        if self._mcap is None:
            raise BagError(f"the bag {self.path} is closed")
        message_type = topics.MESSAGE_TYPES[topic]
        try:
            data = typestore().serialize_cdr(message, message_type)
        except (struct.error, OverflowError, ValueError) as error:
            raise BagError(f"a value does not fit {message_type} on {topic}: {error}") from error
        try:
            if topic not in self._channels:
                self._channels[topic] = self._mcap.add_channel(
                    topic,
                    message_type,
                    definition(message_type),
                    {
                        "offered_qos_profiles": metadata_yaml.qos_text(),
                        "topic_type_hash": type_hash(message_type),
                    },
                )
            self._log_ns = max(self._log_ns, stamp_ns)
            self._first_ns = self._log_ns if self._first_ns is None else self._first_ns
            stream = Stream.BULK if topic in topics.BULK_TOPICS else Stream.SMALL
            self._mcap.add_message(stream, self._channels[topic], self._log_ns, stamp_ns, data)
        except OSError as error:
            raise self._failure(error) from error
        self._counts[topic] = self._counts.get(topic, 0) + 1

    def _information(self) -> dict[str, Any]:
        counts = {topic: self._counts.get(topic, 0) for topic in self._channels}
        return information_of(self._file_name, counts, self._first_ns or 0, self._log_ns, self._metadata)

    def _failure(self, error: OSError) -> BagError:
        mcap, self._mcap = self._mcap, None
        self._give_up(mcap)
        return BagError(f"cannot write the bag {self.path}: {error.strerror or error}; is the disk full?")


def information_of(
    file_name: str, counts: Mapping[str, int], start_ns: int, end_ns: int, metadata: Mapping[str, str]
) -> dict[str, Any]:
    """Return what metadata.yaml says of a bag of one file.

    Args:
        file_name: Of the MCAP file.
        counts: Known topic -> number of messages.
        start_ns: Lowest log time.
        end_ns: Highest log time.
        metadata: What the bag says of itself.
    """
    records = [
        metadata_yaml.TopicRecord(
            topic, topics.MESSAGE_TYPES[topic], type_hash(topics.MESSAGE_TYPES[topic]), count
        )
        for topic, count in counts.items()
    ]
    return metadata_yaml.bag_information(file_name, records, start_ns, end_ns, dict(metadata))
