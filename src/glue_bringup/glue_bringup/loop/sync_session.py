"""Episodes in the synchronous twin."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from glue_bringup.loop.action_source import ActionSource
from glue_bringup.loop.episode import EpisodeResult, HostKind, refused_episode
from glue_bringup.loop.no_perception import NoPerception
from glue_bringup.loop.perceiver import KeyPatchSource
from glue_bringup.loop.pilot import Pilot
from glue_bringup.loop.session import episode_metadata
from glue_bringup.loop.sync_loop import SyncLoop
from glue_bringup.recording.episode_recorder import EpisodeRecorder, Outcome
from glue_bringup.sim.ood import IN_DOMAIN, Condition
from glue_bringup.sim.sync_twin import SyncTwin
from glue_bringup.task_config import TaskConfig
from glue_perception.errors import QueryError
from glue_perception.pipeline import build_pipeline
from glue_perception.redetection.config import RedetectionMode
from glue_perception.timing import LatencyRecorder


class SyncSession:
    """Episodes in one `SyncTwin`, which is reset between them. Perception runs for policies that need it."""

    host = HostKind.SYNC

    def __init__(self, task: TaskConfig, pilot: Pilot, condition: Condition = IN_DOMAIN) -> None:
        self.latencies = LatencyRecorder()
        self._task = task.for_simulation()
        if pilot.needs_depth:
            self._task = self._task.with_depth()
        self._pilot = pilot
        self._condition = condition
        self._pipeline: KeyPatchSource = NoPerception()
        if pilot.needs_key_patches:
            self._pipeline = build_pipeline(self._task.perception, task.queries, RedetectionMode.WAIT)
        else:
            self._task = self._task.without_key_patches()

    def __enter__(self) -> Self:
        task = self._task
        self._twin = SyncTwin(
            task.task, seed=0, camera=task.camera, gains=task.gains, condition=self._condition
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._twin.close()
        self._pipeline.close()

    def run(self, seed: int, bag: Path | None) -> EpisodeResult:
        """Run one episode; see `SyncLoop.run`. Out of distribution, a refused first frame is a failed episode."""
        twin = self._twin
        source = self._pilot.source(seed, lambda: twin.truth, self.latencies)
        loop = SyncLoop(self._task, twin, self._pipeline, self.latencies)
        if bag is None:
            return self._run(loop, seed, source, None)
        metadata = episode_metadata(
            self._task, self._pilot.name, self.host, seed, twin.T_base_camera.tolist(), self._condition
        )
        with EpisodeRecorder(bag, metadata) as recorder:
            result = self._run(loop, seed, source, recorder)
            recorder.close(Outcome.SUCCESS if result.success else Outcome.FAILURE)
        return result

    def _run(
        self, loop: SyncLoop, seed: int, source: ActionSource, recorder: EpisodeRecorder | None
    ) -> EpisodeResult:
        try:
            return loop.run(seed, source, recorder)
        except QueryError as error:
            if self._condition == IN_DOMAIN:
                raise
            return refused_episode(seed, str(error))
