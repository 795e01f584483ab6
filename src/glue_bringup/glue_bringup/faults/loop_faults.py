"""Faults of threads and of the disk, injected into the real-time loop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from glue_bringup.faults.bench import TICK_NS
from glue_bringup.faults.loop_bench import WatchedRecorder, fly
from glue_bringup.faults.motion_audit import steps
from glue_bringup.faults.report import FaultRow, late
from glue_bringup.faults.table import BY_ITSELF, FaultKind
from glue_bringup.loop.realtime_loop import EPISODE_OVER, Robot
from glue_bringup.recording.episode_recorder import KINDS, Outcome
from glue_bringup.safety.config import SafetyConfig
from glue_perception.bags.reader import BagReader
from glue_perception.bags.repair import repair_bag
from glue_perception.errors import BagError

NEXT_EPISODE = "the episode ends with the error; start the next one"


@dataclass(frozen=True)
class LoopFault:
    """One fault.

    Attributes:
        name: As the parts of `loop_bench` know it.
        kind: What is at fault.
        said: Part of what must be said: the reason of the hold, or the error that ends the episode; empty if
            nothing but the record is at stake. (A busy computer may be late with a picture at any time.)
        heals: Whether it goes away again.
    """

    name: str
    kind: FaultKind
    said: str
    heals: bool


LOOP_FAULTS: tuple[LoopFault, ...] = (
    LoopFault("policy thread dies", FaultKind.PROCESS, "failed on purpose", False),
    LoopFault("policy thread hangs", FaultKind.PROCESS, "stale_chunk", True),
    LoopFault("perception thread dies", FaultKind.PROCESS, "failed on purpose", False),
    LoopFault("perception thread hangs", FaultKind.PROCESS, "stale_", True),
    LoopFault("camera process ends", FaultKind.PROCESS, "camera's stream ended", False),
    LoopFault("disk full", FaultKind.DISK, "disk full", False),
    LoopFault("disk hangs", FaultKind.DISK, "", True),
)


def run_in_loop(fault: LoopFault, bag: Path, robot: Robot | None = None) -> FaultRow:
    """Fly with one fault and say what was seen. Takes some seconds of real time.

    Args:
        fault: Which one.
        bag: Gets the episode; must not exist.
        robot: Connected, not started; one that exists only here by default.
    """
    recorder, ended = fly(fault.name, fault.heals, bag, robot)
    ended = ended.replace(str(bag), "BAG")
    hold, held_ms, measured_ms, detected, broken = recorder.hold, None, None, ended, []
    if recorder.fault_tick is None:
        broken.append(f"the arm never moved: {ended}")
    elif hold is not None and (fault.said or hold[1] != EPISODE_OVER):
        # In ticks of control, which come late on a busy computer, all that depends on them with them.
        held_ms = (hold[0] - recorder.fault_tick + 1) * TICK_NS / 1e6
        measured_ms = round(
            (recorder.stamps_ns[hold[0] - 1] - recorder.stamps_ns[recorder.fault_tick - 1]) / 1e6
        )
        detected = ended or hold[1]
    if fault.said:
        broken += late(held_ms)
        if fault.said not in detected:
            broken.append(f"said {detected!r} and nothing of {fault.said!r}")
    if fault.heals and fault.said and not recorder.moves_again:
        broken.append("the arm did not move again")
    broken += steps(recorder.targets, recorder.stamps_ns, SafetyConfig())
    broken += _record_broken(recorder, bool(ended))
    how = NEXT_EPISODE if not fault.heals else BY_ITSELF if fault.said else "nothing to recover from"
    return FaultRow(
        fault.name, fault.kind, "real-time loop", detected, held_ms, how, tuple(broken), measured_ms
    )


def _record_broken(recorder: WatchedRecorder, failed: bool) -> list[str]:
    """Close the record; return what is missing in it that was not said to be."""
    try:
        recorder.close(Outcome.ABORTED if failed else Outcome.SUCCESS)
    except BagError:
        repair_bag(recorder.path)
    offered = Counter({"target": len(recorder.targets), "safety_event": len(recorder.events)})
    return missing_in(recorder.path, offered, recorder.lost)


def missing_in(bag_path: Path, offered: Mapping[str, int], lost: Mapping[str, int]) -> list[str]:
    """Return what is missing in a closed bag that was not said to be; empty if nothing is.

    Args:
        bag_path: The bag.
        offered: How many messages of each kind the recorder was given.
        lost: How many it says were lost.
    """
    with BagReader(bag_path) as bag:
        counts = bag.summary().message_counts
    topic_of = {kind: topic for topic, kind in KINDS.items()}
    missing = {kind: n - counts.get(topic_of[kind], 0) - lost.get(kind, 0) for kind, n in offered.items()}
    return [f"{n} of {kind} lost without a word" for kind, n in missing.items() if n]
