"""The perception step that all hosts share: a frame and the robot's state in, an observation out and on record."""

from __future__ import annotations

from typing import Protocol

from glue_bringup.recording.record import Record
from glue_perception.redetection.config import RedetectionCounts
from glue_perception.stream_monitor import StreamCounts
from glue_perception.timing import LatencyRecorder
from glue_perception.types import CameraFrame, KeyPatches, Observation, RobotState


class KeyPatchSource(Protocol):
    """What gives key-patches for every frame: `PerceptionPipeline`, or nothing at all."""

    @property
    def key_patches(self) -> KeyPatches:
        """Those of the newest frame."""
        ...

    @property
    def stream_counts(self) -> StreamCounts:
        """What the stream of the running episode did wrong so far."""
        ...

    @property
    def redetection_counts(self) -> RedetectionCounts:
        """What became of the running episode's searches so far."""
        ...

    def start(self, frame: CameraFrame) -> object:
        """Begin an episode."""
        ...

    def update(self, frame: CameraFrame) -> KeyPatches:
        """Return the key-patches of the next frame."""
        ...

    def close(self) -> None:
        """End the episode."""
        ...


class Perceiver:
    """Runs the pipeline frame by frame and records what went in and what came out.

    Everything a replay needs is on record under the frame's stamp: the image, the robot's state as the policy saw
    it, and the key-patches. A frame that is not newer than all before it changes nothing and is not recorded, since
    a record is joined and ordered by stamps. One thread.
    """

    def __init__(self, pipeline: KeyPatchSource, recorder: Record | None, latencies: LatencyRecorder) -> None:
        self._pipeline = pipeline
        self._recorder = recorder
        self._latencies = latencies
        self._shares: list[float] = []
        self._newest_ns = -1

    @property
    def frames(self) -> int:
        """Frames seen, the first included."""
        return len(self._shares)

    @property
    def tracked_share(self) -> float:
        """Mean share of patches tracked over all frames."""
        return sum(self._shares) / len(self._shares) if self._shares else 0.0

    @property
    def events(self) -> dict[str, int]:
        """What the stream did wrong and what became of searches for lost objects; only what happened."""
        stream, searches = self._pipeline.stream_counts, self._pipeline.redetection_counts
        counts = {**stream.as_mapping(), **{f"searches_{k}": v for k, v in searches.as_mapping().items()}}
        del counts["frames"]
        return {name: count for name, count in counts.items() if isinstance(count, int) and count}

    def start(self, frame: CameraFrame, state: RobotState) -> Observation:
        """Find the objects in the first frame.

        Raises:
            QueryError: an object is absent or ambiguous.
        """
        self._newest_ns = -1
        with self._latencies.measure("extraction"):
            self._pipeline.start(frame)
        return self._keep(frame, self._pipeline.key_patches, state)

    def observe(self, frame: CameraFrame, state: RobotState) -> Observation:
        """Track the objects into the next frame."""
        with self._latencies.measure("perception"):
            patches = self._pipeline.update(frame)
        return self._keep(frame, patches, state)

    def _keep(self, frame: CameraFrame, patches: KeyPatches, state: RobotState) -> Observation:
        self._shares.append(patches.tracked_share)
        is_newer, self._newest_ns = frame.stamp_ns > self._newest_ns, max(frame.stamp_ns, self._newest_ns)
        if self._recorder is not None and is_newer:
            self._recorder.frame(frame)
            self._recorder.robot_state(state_at(state, frame.stamp_ns), measured_ns=state.stamp_ns)
            self._recorder.key_patches(patches)
        return Observation(frame, patches, state_at(state, frame.stamp_ns))


def state_at(state: RobotState, stamp_ns: int) -> RobotState:
    """Return the state under the frame's stamp: replay joins frame and state by it."""
    return RobotState(
        stamp_ns=stamp_ns,
        joint_position_rad=state.joint_position_rad,
        joint_velocity_rad_s=state.joint_velocity_rad_s,
        T_base_ee=state.T_base_ee,
        gripper_width_m=state.gripper_width_m,
    )
