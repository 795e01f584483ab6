"""Records demonstrations one after the other: start, stop, and a verdict on each."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path

import numpy as np
from jaxtyping import Float

from glue_bringup.recording.audit import AuditConfig, EpisodeAudit, Finding, refusals
from glue_bringup.recording.episode_recorder import EpisodeRecorder, Outcome, WhenFull
from glue_perception.bags import topics
from glue_perception.bags.mcap_writer import OpenFile, create_file
from glue_perception.bags.message_types import prepare
from glue_perception.errors import BagError, NotReadyError
from glue_perception.types import ActionChunk, CameraFrame, KeyPatches, RobotState


class RecorderState(Enum):
    """IDLE: between episodes. RECORDING. STOPPED: an episode waits for its verdict."""

    IDLE = "idle"
    RECORDING = "recording"
    STOPPED = "stopped"


@dataclass(frozen=True)
class RecordedEpisode:
    """What became of one episode.

    Attributes:
        path: The bag; whatever the outcome, it is kept.
        outcome: As recorded: REFUSED where the operator said SUCCESS and the audit did not agree.
        verdict: What the operator said.
        findings: Of the audit.
        figures: Rates and worst cases, see `EpisodeAudit.figures`.
        lost: Messages that are not in the bag, by kind.
        failure: Why writing failed; empty if it did not.
    """

    path: Path
    outcome: Outcome
    verdict: Outcome
    findings: tuple[Finding, ...]
    figures: dict[str, float]
    lost: dict[str, int]
    failure: str


class DemonstrationRecorder:
    """Takes messages all the time and records them between `start` and `stop`; a `Record` for every host.

    No message waits for the disk, and none raises: what cannot be written is counted, said in `status`, and has the
    episode refused. All methods may be called from any thread; `start`, `stop` and the verdicts from one at a time.

    A verdict ends the episode and stops it if that was not done: `success`, `failure`, `discard`, `abort`;
    `close` aborts one that has none. An episode that its audit refuses becomes REFUSED only if it would be trained on
    otherwise; a failed one is a failed one.

    Args:
        directory: Gets one bag per episode, `episode_000000` and on, none of them overwritten.
        metadata: What all its bags say of themselves: operator, scene, calibration, versions.
        audit: When an episode is refused.
        open_file: See `McapWriter`.
    """

    def __init__(
        self,
        directory: Path,
        metadata: Mapping[str, str],
        audit: AuditConfig | None = None,
        open_file: OpenFile = create_file,
    ) -> None:
        for message_type in topics.MESSAGE_TYPES.values():
            prepare(message_type)
        self._directory = directory
        self._metadata = dict(metadata)
        self._audit_config = audit or AuditConfig()
        self._open_file = open_file
        self._lock = threading.Lock()
        self._state = RecorderState.IDLE
        self._recorder: EpisodeRecorder | None = None
        self._more: dict[str, str] = {}
        self._audit = EpisodeAudit(self._audit_config)

    @property
    def state(self) -> RecorderState:
        """What it does now."""
        return self._state

    def start(self, metadata: Mapping[str, str] | None = None, name: str = "") -> Path:
        """Begin an episode and return its bag's path.

        Args:
            metadata: What this bag says of itself besides, e.g. its seed.
            name: Of its folder; empty for the next number.

        Raises:
            NotReadyError: the last episode has no verdict yet.
            BagError: no bag can be made there.
        """
        if self._state is not RecorderState.IDLE:
            raise NotReadyError(
                f"an episode is {self._state.value}; give its verdict before the next one starts"
            )
        path = self._directory / name if name else self._next_path()
        said = {**self._metadata, **(metadata or {})}
        recorder = EpisodeRecorder(path, said, when_full=WhenFull.DROP, open_file=self._open_file)
        with self._lock:
            self._audit = EpisodeAudit(self._audit_config)
            self._recorder = recorder
            self._more.clear()
            self._state = RecorderState.RECORDING
        return path

    def say(self, metadata: Mapping[str, str]) -> None:
        """Have the running episode's bag say more of itself."""
        self._more.update(metadata)

    def stop(self) -> None:
        """Record nothing more; the episode waits for its verdict. Does nothing if none is being recorded."""
        with self._lock:
            if self._state is RecorderState.RECORDING:
                self._state = RecorderState.STOPPED

    def success(self) -> RecordedEpisode:
        """End the episode as a demonstration; see `RecordedEpisode.outcome` for whether it is fit to be one."""
        return self._finish(Outcome.SUCCESS)

    def failure(self) -> RecordedEpisode:
        """End the episode as one that did not reach its goal."""
        return self._finish(Outcome.FAILURE)

    def discard(self) -> RecordedEpisode:
        """End the episode as one that nobody wants; it is marked so and kept."""
        return self._finish(Outcome.DISCARDED)

    def abort(self) -> RecordedEpisode:
        """End the episode without a verdict."""
        return self._finish(Outcome.ABORTED)

    def close(self) -> None:
        """Abort an episode that has no verdict, if there is one."""
        if self._state is not RecorderState.IDLE:
            self.abort()

    def judge(self, findings: Sequence[Finding]) -> tuple[Finding, ...]:
        """Return what an audit's findings mean here; those graded REFUSE make an episode no demonstration."""
        return tuple(findings)

    def status(self) -> str:
        """Return one line for the operator: how long, at what rates, and what is wrong so far."""
        with self._lock:
            recorder, audit = self._recorder, self._audit
        if recorder is None:
            return "not recording"
        if failure := recorder.failure:
            return f"NOT RECORDING: {failure}"
        audit.lost(recorder.lost)
        figures = audit.figures()
        line = (
            f"{self._state.value} {figures['duration_s']:.1f} s  {figures['frame_hz']:.1f} images/s  "
            f"{figures['action_hz']:.1f} actions/s"
        )
        # What only time can heal is not said while it still can.
        bad = [f.text for f in audit.findings() if f.check not in ("too_short", "no_actions", "no_motion")]
        return f"{line}  ! {'; '.join(bad)}" if bad else line

    def frame(self, frame: CameraFrame) -> None:
        """Add a frame; it is lost while the disk is too slow."""
        if (recorder := self._recording()) is not None:
            self._audit.frame(frame.stamp_ns)
            _try(lambda: recorder.frame(frame))

    def robot_state(self, state: RobotState, measured_ns: int | None = None) -> None:
        """Add the state that goes with a frame, and say when it was measured."""
        if (recorder := self._recording()) is not None:
            self._audit.robot_state(state, measured_ns)
            _try(lambda: recorder.robot_state(state, measured_ns))

    def key_patches(self, patches: KeyPatches) -> None:
        """Add the key-patches of a frame."""
        if (recorder := self._recording()) is not None:
            _try(lambda: recorder.key_patches(patches))

    def chunk(self, chunk: ActionChunk) -> None:
        """Add what is to be executed."""
        if (recorder := self._recording()) is not None:
            _try(lambda: recorder.chunk(chunk))

    def demonstrated_action(self, action: ActionChunk) -> None:
        """Add what the demonstrator commanded."""
        if (recorder := self._recording()) is not None:
            self._audit.action(action)
            _try(lambda: recorder.demonstrated_action(action))

    def target(self, stamp_ns: int, T_base_ee: Float[np.ndarray, "4 4"]) -> None:
        """Add a pose handed to the arm."""
        if (recorder := self._recording()) is not None:
            recorder.target(stamp_ns, T_base_ee)

    def safety_event(self, stamp_ns: int, mode: str, reason: str) -> None:
        """Add a decision of the safety supervisor."""
        if (recorder := self._recording()) is not None:
            if mode == "hold_ramp" and reason != "waiting":
                self._audit.hold(reason)
            recorder.safety_event(stamp_ns, mode, reason)

    def _recording(self) -> EpisodeRecorder | None:
        with self._lock:
            return self._recorder if self._state is RecorderState.RECORDING else None

    def _finish(self, verdict: Outcome) -> RecordedEpisode:
        self.stop()
        with self._lock:
            recorder, audit = self._recorder, self._audit
        if recorder is None:
            raise NotReadyError(
                f"no episode is being recorded that could be a {verdict.value}; start one first"
            )
        recorder.drain()
        audit.lost(recorder.lost)
        findings, figures = self.judge(audit.findings()), audit.figures()
        reasons = [*refusals(findings), *([failure] if (failure := recorder.failure) else [])]
        outcome = Outcome.REFUSED if verdict is Outcome.SUCCESS and reasons else verdict
        said = {
            **self._more,
            "verdict": verdict.value,
            "audit": json.dumps({"findings": [asdict(f) for f in findings], "figures": figures}),
        }
        if reasons:
            said["refused_because"] = "; ".join(reasons)
        _try(lambda: recorder.close(outcome, said))
        with self._lock:
            self._recorder, self._state = None, RecorderState.IDLE
        return RecordedEpisode(
            recorder.path, outcome, verdict, findings, figures, recorder.lost, recorder.failure
        )

    def _next_path(self) -> Path:
        number = 0
        while (path := self._directory / f"episode_{number:06d}").exists():
            number += 1
        return path


def _try(write: Callable[[], None]) -> None:
    """Call `write`; a failure of the disk is kept by the recorder, which tells of it in `failure` and `lost`."""
    try:
        write()
    except BagError:
        return
