"""A folder of recorded episodes: what each is, what is wrong with it, and what it counts as."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from glue_bringup.recording.audit import AuditConfig, Finding, Severity, audit_bag
from glue_bringup.recording.episode_recorder import Outcome
from glue_perception.bags import metadata_yaml, topics
from glue_perception.bags.reader import BagReader, UnfinishedBagWarning
from glue_perception.bags.repair import UNFINISHED, is_being_recorded, is_finished, repair_bag
from glue_perception.config import suggest
from glue_perception.errors import BagError, ConfigError
from glue_policy.data.from_bags import bags_in

RECORDING = "recording"
UNREADABLE = "unreadable"


@dataclass(frozen=True)
class EpisodeRow:
    """One bag of a folder.

    Attributes:
        name: Of its folder.
        task: Its task.
        outcome: See `Outcome`; `unfinished` if its recorder was killed, `recording` if it is being recorded now,
            `unreadable` if it cannot be read.
        problem: Why it cannot be read.
        operator: Who demonstrated.
        demonstrator: With what: spacemouse, keyboard, expert, or the policy's name.
        duration_s: From the first message to the last.
        frames: Images.
        actions: Demonstrated actions.
        action_hz: Their rate.
        findings: Of the audit.
        audited: Whether there was an audit: no findings mean nothing without.
        size_bytes: On disk.
        history: Earlier outcomes, see `relabel`.
        repaired: What a repair cut off, see `repair_bag`; empty without.
    """

    name: str
    task: str = ""
    outcome: str = UNREADABLE
    problem: str = ""
    operator: str = ""
    demonstrator: str = ""
    duration_s: float = 0.0
    frames: int = 0
    actions: int = 0
    action_hz: float = 0.0
    findings: tuple[Finding, ...] = ()
    audited: bool = False
    size_bytes: int = 0
    history: list[dict[str, str]] = field(default_factory=list)
    repaired: dict[str, Any] = field(default_factory=dict)


def repair_all(directory: Path) -> list[str]:
    """Finish every bag whose recorder was killed; return one line for each that was, or could not be."""
    lines = []
    for path in bags_in(directory):
        if is_finished(path) or is_being_recorded(path):
            continue
        try:
            repair = repair_bag(path)
        except BagError as error:
            if not _row(path, None).problem:  # what cannot be read at all says so in its row
                lines.append(f"not repaired: {error}")
            continue
        if repair is not None:
            cut = (
                f"; {repair.cut_bytes} bytes of a cut-off end are in {repair.cut_file}"
                if repair.cut_file
                else ""
            )
            lines.append(
                f"repaired {path.name}, whose recorder was killed: {repair.messages} messages, "
                f"{repair.duration_s:.1f} s{cut}"
            )
    return lines


def list_episodes(directory: Path, audit: AuditConfig | None = None) -> list[EpisodeRow]:
    """Return a row per folder in `directory`, by name; what cannot be read is a row that says why.

    Args:
        directory: Holds a folder per bag.
        audit: Audit those bags that were recorded without one, by these limits; None to leave them.

    Raises:
        BagError: there is no such directory.
    """
    if not directory.is_dir():
        raise BagError(f"there is no folder of episodes at {directory}")
    return [_row(path, audit) for path in bags_in(directory)]


def find_episode(directory: Path, name: str) -> Path:
    """Return an episode's bag by name, or by its number.

    Raises:
        ConfigError: there is none; the message names the nearest.
    """
    known = {path.name: path for path in bags_in(directory)}
    wanted = f"episode_{int(name):06d}" if name.isdecimal() and name not in known else name
    if wanted not in known:
        raise ConfigError(f"{directory} holds no episode {name!r}.{suggest(wanted, known)}")
    return known[wanted]


def relabel(path: Path, outcome: Outcome, by: str = "", reason: str = "") -> str:
    """Change what an episode counts as and return what it was; the bag's `relabelled` keeps all earlier outcomes.

    Raises:
        ConfigError: a refused or unfinished episode is called a success without a reason.
        BagError: the bag cannot be read or written.
    """
    repair_bag(path)
    with BagReader(path) as bag:
        metadata = dict(bag.metadata)
    before = metadata.get("outcome", UNFINISHED)
    if outcome is Outcome.SUCCESS and before in (Outcome.REFUSED.value, UNFINISHED) and not reason:
        why = metadata.get("refused_because", "its recorder was killed before a verdict")
        raise ConfigError(
            f"{path.name} is {before} ({why}); to train on it all the same, say why with --reason"
        )
    entry = {"from": before, "to": outcome.value, "at": datetime.now(UTC).isoformat(timespec="seconds")}
    entry |= {key: text for key, text in (("by", by), ("reason", reason)) if text}
    history = [*_history(metadata), entry]
    metadata_yaml.update_custom_data(path, {"outcome": outcome.value, "relabelled": json.dumps(history)})
    return before


def _row(path: Path, audit: AuditConfig | None) -> EpisodeRow:
    size_bytes = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnfinishedBagWarning)
            with BagReader(path) as bag:
                return _readable_row(bag, size_bytes, audit)
    except BagError as error:
        problem = " ".join(str(error).split())
        return EpisodeRow(name=path.name, problem=problem, size_bytes=size_bytes)


def _readable_row(bag: BagReader, size_bytes: int, audit: AuditConfig | None) -> EpisodeRow:
    summary, said = bag.summary(), bag.metadata
    outcome = said.get("outcome", UNFINISHED if "task_config" in said or not is_finished(bag.path) else "")
    if not is_finished(bag.path) and is_being_recorded(bag.path):
        outcome = RECORDING
    findings, action_hz = _audit(said.get("audit"), bag.path)
    if findings is None and audit is not None:
        made = audit_bag(bag, audit)
        findings, action_hz = tuple(made.findings()), made.figures()["action_hz"]
    actions = summary.message_counts.get(topics.DEMONSTRATED_ACTION, 0)
    return EpisodeRow(
        name=bag.path.name,
        task=said.get("task", ""),
        outcome=outcome or Outcome.SUCCESS.value,
        operator=said.get("operator", ""),
        demonstrator=said.get("demonstrator", said.get("policy", "")),
        duration_s=round(summary.duration_s, 3),
        frames=summary.message_counts.get(topics.IMAGE, 0),
        actions=actions,
        action_hz=round(action_hz or actions / max(summary.duration_s, 1e-9), 2),
        findings=findings or (),
        audited=findings is not None,
        size_bytes=size_bytes,
        history=_history(said),
        repaired=_json(said.get("repaired", "{}"), dict, bag.path),
    )


def _audit(text: str | None, path: Path) -> tuple[tuple[Finding, ...] | None, float]:
    """Return the findings, None without an audit, and the rate of the actions, 0 without one."""
    if text is None:
        return None, 0.0
    audit = _json(text, dict, path)
    try:
        found = tuple(Finding(f["check"], Severity(f["severity"]), f["text"]) for f in audit["findings"])
        return found, float(audit["figures"]["action_hz"])
    except (TypeError, KeyError, ValueError) as error:
        raise BagError(f"{path}: the audit in its metadata is damaged ({error})") from error


def _history(metadata: dict[str, str]) -> list[dict[str, str]]:
    return list(_json(metadata.get("relabelled", "[]"), list, "the bag"))


def _json(text: str, kind: type, where: object) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BagError(f"{where}: its metadata is damaged ({error})") from error
    if not isinstance(value, kind):
        raise BagError(
            f"{where}: its metadata holds a {type(value).__name__} where a {kind.__name__} is expected"
        )
    return value
