"""Key-patches, chunks and safety events to ROS messages and back, exact to the last bit.

Messages are instances of the classes in `message_types`. Reading checks all sizes, because a bag comes from
anywhere: a message that contradicts itself is a BagError.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from glue_perception.bags import topics
from glue_perception.bags.message_types import message_class
from glue_perception.errors import BagError
from glue_perception.timing import NS_PER_S
from glue_perception.types import GRID_SIZE, ActionChunk, KeyPatches


@dataclass(frozen=True)
class SafetyEvent:
    """A decision of the safety supervisor.

    Attributes:
        stamp_ns: Host clock.
        mode: The supervisor's mode from then on.
        reason: Why.
    """

    stamp_ns: int
    mode: str
    reason: str


def nanoseconds(time: Any) -> int:
    """Return a builtin_interfaces/Time in ns."""
    return int(time.sec) * NS_PER_S + int(time.nanosec)


def stamp_ns_of(message: Any) -> int:
    """Return a message's header stamp.

    Raises:
        BagError: it lies before 1970.
    """
    ns = nanoseconds(message.header.stamp)
    if ns < 0:
        raise BagError(f"a message is stamped {ns} ns, before 1970")
    return ns


def header(stamp_ns: int, frame_id: str) -> Any:
    """Return a std_msgs/Header.

    Raises:
        BagError: the stamp does not fit ROS's 32-bit seconds.
    """
    sec, nanosec = divmod(stamp_ns, NS_PER_S)
    if not 0 <= sec < 2**31:
        raise BagError(f"the stamp {stamp_ns} ns does not fit a ROS message (1970 to 2038)")
    stamp = message_class("builtin_interfaces/msg/Time")(sec, nanosec)
    return message_class("std_msgs/msg/Header")(stamp, frame_id)


def key_patches_message(patches: KeyPatches) -> Any:
    """Return glue_msgs/KeyPatchArray."""
    make = message_class("glue_msgs/msg/KeyPatch")
    return message_class("glue_msgs/msg/KeyPatchArray")(
        header=header(patches.stamp_ns, topics.CAMERA_FRAME),
        grid_size=GRID_SIZE,
        result_age_ns=patches.result_age_ns,
        redetected_from_ns=patches.redetected_from_ns,
        tracked_share=patches.tracked_share_by_query,
        patches=[
            make(
                row=int(row),
                col=int(col),
                x=float(x),
                y=float(y),
                visible=bool(visible),
                health=int(health),
                query_index=int(query),
            )
            for (row, col), (x, y), visible, health, query in zip(
                patches.row_col,
                patches.xy_px,
                patches.visible,
                patches.health,
                patches.query_index,
                strict=True,
            )
        ],
    )


def key_patches_of(message: Any) -> KeyPatches:
    """Return the key-patches in a glue_msgs/KeyPatchArray.

    `tracked_share` follows from the patches; a writer may leave it empty.

    Raises:
        BagError: they are of another grid, or `tracked_share` is not that of the patches.
    """
    if message.grid_size != GRID_SIZE:
        raise BagError(
            f"the bag's key-patches are of a {message.grid_size} x {message.grid_size} grid; {GRID_SIZE} is known"
        )
    patches = message.patches
    result = KeyPatches(
        stamp_ns=stamp_ns_of(message),
        row_col=np.array([(p.row, p.col) for p in patches], dtype=np.int64).reshape(-1, 2),
        xy_px=np.array([(p.x, p.y) for p in patches], dtype=np.float64).reshape(-1, 2),
        visible=np.array([p.visible for p in patches], dtype=np.bool_),
        health=np.array([p.health for p in patches], dtype=np.int64),
        query_index=np.array([p.query_index for p in patches], dtype=np.int64),
        result_age_ns=int(message.result_age_ns),
        redetected_from_ns=int(message.redetected_from_ns),
    )
    _check_tracked_share(result, np.asarray(message.tracked_share, np.float64))
    return result


def _check_tracked_share(patches: KeyPatches, said: Float[np.ndarray, "queries"]) -> None:
    if not said.size:
        return
    # Lengths first: a forged query index must not decide how much memory is asked for.
    if len(patches) and int(patches.query_index.max()) + 1 == said.size:
        counted = patches.tracked_share_by_query
        if np.allclose(said, counted, rtol=0.0, atol=1e-9):
            return
    raise BagError(
        f"the key-patches of {patches.stamp_ns} ns claim tracked shares {said.tolist()[:8]}, which do not follow "
        "from their patches; the message is damaged"
    )


def action_chunk_message(chunk: ActionChunk) -> Any:
    """Return glue_msgs/ActionChunk, exact."""
    make = message_class("glue_msgs/msg/ActionTarget")
    return message_class("glue_msgs/msg/ActionChunk")(
        header=header(chunk.stamp_ns, topics.BASE_FRAME),
        dt=float(chunk.dt_s),
        frozen=chunk.frozen,
        targets=[
            make(position=point_message(position), rotation_6d=rotation, gripper_width=float(width))
            for position, rotation, width in zip(
                chunk.position_m, chunk.rotation_6d, chunk.gripper_width_m, strict=True
            )
        ],
    )


def action_chunk_of(message: Any) -> ActionChunk:
    """Return the chunk in a glue_msgs/ActionChunk."""
    targets = message.targets
    return ActionChunk(
        stamp_ns=stamp_ns_of(message),
        dt_s=float(message.dt),
        position_m=np.array([(t.position.x, t.position.y, t.position.z) for t in targets]).reshape(-1, 3),
        rotation_6d=np.array([t.rotation_6d for t in targets], dtype=np.float64).reshape(-1, 6),
        gripper_width_m=np.array([t.gripper_width for t in targets], dtype=np.float64),
        frozen=int(message.frozen),
    )


def safety_event_message(event: SafetyEvent) -> Any:
    """Return glue_msgs/SafetyEvent."""
    return message_class("glue_msgs/msg/SafetyEvent")(header(event.stamp_ns, ""), event.mode, event.reason)


def safety_event_of(message: Any) -> SafetyEvent:
    """Return the event in a glue_msgs/SafetyEvent."""
    return SafetyEvent(stamp_ns_of(message), message.mode, message.reason)


def point_message(xyz: Float[np.ndarray, "3"]) -> Any:
    """Return a geometry_msgs/Point."""
    return message_class("geometry_msgs/msg/Point")(float(xyz[0]), float(xyz[1]), float(xyz[2]))
