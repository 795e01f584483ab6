"""All of the supervisor's decisions, over every combination of its abstract inputs."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from glue_bringup.arm.limits import PANDA
from glue_bringup.safety.config import SafetyConfig, WatchdogConfig
from glue_bringup.safety.reasons import FACTS, Effect, Reason, limit_of, line_for
from glue_bringup.safety.safety_doc import rendered
from glue_bringup.safety.state_machine import (
    TRANSITIONS,
    Latches,
    OperatorAction,
    SupervisorMode,
    after,
    hold_reason,
    next_mode,
)
from glue_bringup.safety.supervisor import SafetySupervisor
from glue_perception.geometry import make_transform
from glue_perception.types import ActionChunk, RobotState

ROOT = Path(__file__).parents[3]
CHUNK = (None, Reason.WAITING, Reason.CHUNK_EXPIRED, Reason.STALE_CHUNK)
CLOCK = (None, Reason.CLOCK_BACKWARDS)
WATCHED = (
    None,
    *(
        r
        for r in Reason
        if FACTS[r].effect is Effect.HOLD and r not in (*CHUNK, *CLOCK, Reason.EMERGENCY_STOP)
    ),
)
LATCHES = [Latches(e, o) for e in (None, "fire") for o in (None, "door")]


def test_hold_begins_for_every_cause_and_the_gravest_is_named():
    count = 0
    for latches, clock, watched, chunk in itertools.product(LATCHES, CLOCK, WATCHED, CHUNK):
        reason = hold_reason(latches, clock, watched, chunk)
        causes = [latches.emergency and "emergency_stop", latches.operator, clock, watched, chunk]
        assert reason == next((str(c) for c in causes if c is not None), None)
        for at_rest in (False, True):
            mode = next_mode(reason, at_rest)
            assert (mode is SupervisorMode.ACTIVE) == (not any(causes))
            if mode is not SupervisorMode.ACTIVE:
                assert (mode is SupervisorMode.HOLD) == at_rest
            count += 1
    assert count == 4 * 2 * len(WATCHED) * 4 * 2


def test_latches_open_by_their_own_key_only():
    for length in range(5):
        for actions in itertools.product(OperatorAction, repeat=length):
            latches = Latches()
            for action in actions:
                latches = after(latches, action, action.value)
            stops = [a for a in actions if a.value.endswith("emergency_stop")]
            holds = [a for a in actions if a in (OperatorAction.HOLD, OperatorAction.RELEASE)]
            assert (latches.emergency is not None) == (stops[-1:] == [OperatorAction.EMERGENCY_STOP])
            assert (latches.operator is not None) == (holds[-1:] == [OperatorAction.HOLD])


def test_a_stop_without_words_is_a_stop():
    assert after(Latches(), OperatorAction.EMERGENCY_STOP).emergency
    assert after(Latches(), OperatorAction.HOLD).operator


class Machine:
    """The real supervisor on a bench without perception: the few inputs that make every kind of reason."""

    def __init__(self) -> None:
        watchdogs = WatchdogConfig(max_frame_age_s=None, max_key_patches_age_s=None, max_deadman_age_s=0.1)
        self.supervisor = SafetySupervisor(SafetyConfig(watchdogs=watchdogs), PANDA)
        self.now_ns, self.side = 10**9, 0.1
        self.T = make_transform(np.diag([1.0, -1.0, -1.0]), np.array([0.5, 0.0, 0.4]))
        self.supervisor.reset(self.now_ns, self.state(0))
        self.modes = [SupervisorMode.HOLD]

    def state(self, late_ns: int) -> RobotState:
        return RobotState(self.now_ns - late_ns, np.zeros(7), np.zeros(7), self.T, 0.04)

    def chunk(self) -> ActionChunk:
        self.side = -self.side
        position_m = np.array([[0.5, self.side, 0.4]] * 2)
        return ActionChunk(
            self.now_ns, 0.1, position_m, np.tile([1.0, 0, 0, 0, -1.0, 0], (2, 1)), np.zeros(2)
        )

    def tick(self, letter: str) -> SupervisorMode:
        supervisor = self.supervisor
        self.now_ns += 10_000_000
        supervisor.note_deadman(self.now_ns, letter != "deadman")
        if letter == "chunk":
            supervisor.submit(self.chunk(), self.now_ns)
        elif letter == "stay":
            here = np.tile(self.T[:3, 3], (2, 1))
            turned = np.tile([1.0, 0, 0, 0, -1.0, 0], (2, 1))
            supervisor.submit(ActionChunk(self.now_ns, 0.1, here, turned, np.zeros(2)), self.now_ns)
        elif letter == "stop":
            supervisor.emergency_stop("test")
        elif letter == "reset":
            supervisor.reset_emergency_stop()
        elif letter == "hold":
            supervisor.operator_hold("test")
        elif letter == "release":
            supervisor.release()
        elif letter == "long":
            for _ in range(45):
                self.now_ns += 10_000_000
                supervisor.note_deadman(self.now_ns, True)
                self.step(0)
        return self.step(200_000_000 if letter == "state" else 0)

    def step(self, late_ns: int) -> SupervisorMode:
        command = self.supervisor.step(self.now_ns, self.state(late_ns))
        self.T = command.T_base_ee
        self.modes.append(command.mode)
        assert command.line
        return command.mode


LETTERS = ("chunk", "stay", "stop", "reset", "hold", "release", "deadman", "state", "long")


def test_every_sequence_of_inputs_keeps_to_the_drawn_transitions():
    allowed = {(a, b) for a, _, b in TRANSITIONS} | {(m, m) for m in SupervisorMode}
    seen = set()
    starts = ((), ("chunk",) * 3, ("stay",))
    for start, word in itertools.product(starts, itertools.product(LETTERS, repeat=2)):
        machine, stopped = Machine(), False
        for letter in (*start, *word, "chunk"):
            mode = machine.tick(letter)
            stopped = (stopped or letter == "stop") and letter != "reset"
            assert not (stopped and mode is SupervisorMode.ACTIVE), word
            if letter in ("hold", "stop", "deadman", "state"):
                assert mode is not SupervisorMode.ACTIVE
        taken = set(itertools.pairwise(machine.modes))
        assert taken <= allowed, (word, taken - allowed)
        seen |= taken
    assert seen == allowed


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_one_line_with_its_limit(reason):
    line = line_for(reason, SafetyConfig())
    assert ("\n" not in line and "{limit" not in line) or limit_of(reason, SafetyConfig()) is None
    if FACTS[reason].effect is Effect.HOLD:
        assert re.search(r"[:,?] |waiting", line), "says what helps, or what it waits for"


def test_lines_tell_limits_and_the_operators_words():
    config = SafetyConfig(watchdogs=WatchdogConfig(max_frame_age_s=0.4))
    assert "no camera frame for 0.4 s" in line_for("stale_frame", config)
    assert "door open" in line_for("door open", config)
    assert line_for("emergency_stop", config, "smoke").endswith("(smoke)")


def test_the_document_is_what_the_code_does():
    text = (ROOT / "docs" / "safety.md").read_text(encoding="utf-8")
    begin, end = "<!-- generated: python -m glue_bringup.safety.safety_doc -->", "<!-- end -->"
    assert text.split(begin)[1].split(end)[0].strip() == rendered().strip()
