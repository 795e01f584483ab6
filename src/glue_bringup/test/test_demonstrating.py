"""A demonstrator in a graph: the arm follows the recorder's state, and the recorder the operator's word."""

import numpy as np
import pytest

from glue_bringup.recording.demonstration_recorder import RecorderState
from glue_bringup.teleop.config import Deadman, TeleopConfig
from glue_bringup.teleop.demonstrating import (
    AutomaticDemonstration,
    DemonstrationWorker,
    OperatorButtons,
    Verdict,
)
from glue_bringup.teleop.device import DeviceReading
from glue_bringup.teleop.operator import OperatorCommand
from glue_perception.errors import ConfigError, HardwareError, NotReadyError, QueryError

IDLE, RECORDING, STOPPED = RecorderState.IDLE, RecorderState.RECORDING, RecorderState.STOPPED


class Graph:
    """The other nodes, as far as a demonstration sees them: they do what they are asked and tell the state."""

    def __init__(self) -> None:
        self.worker: DemonstrationWorker | None = None
        self.did: list[str] = []
        self.said: list[str] = []
        self.refusal: Exception | None = None
        self.arm_refusal: Exception | None = None

    def tell(self, state: RecorderState) -> None:
        assert self.worker is not None
        self.worker.recorder_state(state)

    def start_episode(self) -> None:
        self.did.append("start")
        if self.refusal is not None:
            raise self.refusal
        self.tell(RECORDING)

    def stop_episode(self, verdict: Verdict) -> str:
        self.did.append(f"stop {verdict.name}")
        self.tell(STOPPED if verdict is Verdict.LATER else IDLE)
        return "" if verdict is Verdict.LATER else verdict.name.lower()

    def take_over(self) -> None:
        self.did.append("take over")
        if self.arm_refusal is not None:
            raise self.arm_refusal

    def let_go(self) -> None:
        self.did.append("let go")

    def say(self, words: str) -> None:
        self.said.append(words)


@pytest.fixture
def graph() -> Graph:
    return Graph()


def manual(graph: Graph, max_duration_s: float = 600.0) -> DemonstrationWorker:
    errors: list[BaseException] = []
    graph.worker = DemonstrationWorker(graph, max_duration_s, None, errors.append)
    return graph.worker


def do(worker: DemonstrationWorker, *commands: OperatorCommand) -> None:
    for command in commands:
        worker.command(command)
        worker.step()
        worker.step()


def test_an_episode_from_start_to_verdict(graph: Graph) -> None:
    worker = manual(graph)
    do(worker, OperatorCommand.START)
    assert worker.recording
    do(worker, OperatorCommand.SUCCESS)
    assert graph.did == ["start", "take over", "let go", "stop SUCCESS"]
    assert not worker.recording


def test_the_verdict_may_come_later(graph: Graph) -> None:
    do(
        manual(graph),
        OperatorCommand.START,
        OperatorCommand.STOP,
        OperatorCommand.START,
        OperatorCommand.FAILURE,
    )
    assert graph.did == ["start", "take over", "let go", "stop LATER", "stop FAILURE"]


def test_what_makes_no_sense_now_is_left(graph: Graph) -> None:
    do(manual(graph), OperatorCommand.SUCCESS, OperatorCommand.STOP, OperatorCommand.DISCARD)
    assert graph.did == []


def test_a_record_that_others_begin_and_end_is_followed(graph: Graph) -> None:
    worker = manual(graph)
    for state in (RECORDING, STOPPED, IDLE):
        graph.tell(state)
        worker.step()
    assert graph.did == ["take over", "let go"]


def test_a_recorder_that_dies_takes_the_arm_from_the_demonstrator(graph: Graph) -> None:
    worker = manual(graph)
    do(worker, OperatorCommand.START)
    graph.tell(IDLE)  # what a recorder says when it is started again
    worker.step()
    assert graph.did[-1] == "let go"


def test_an_arm_that_refuses_leaves_a_discarded_record(graph: Graph) -> None:
    graph.arm_refusal = HardwareError("reflex")
    do(manual(graph), OperatorCommand.START)
    assert graph.did == ["start", "take over", "stop DISCARD"]
    assert "reflex" in graph.said[0]


def test_an_episode_that_cannot_begin_moves_nothing(graph: Graph) -> None:
    graph.refusal = QueryError("no red button")
    do(manual(graph), OperatorCommand.START)
    assert graph.did == ["start"]
    assert "no red button" in graph.said[0]


def test_an_episode_that_lasts_too_long_waits_for_its_verdict(graph: Graph) -> None:
    worker = manual(graph, max_duration_s=0.0)
    do(worker, OperatorCommand.START)
    assert graph.did == ["start", "take over", "let go", "stop LATER"]


def automatic(graph: Graph, max_duration_s: float = 600.0) -> tuple[AutomaticDemonstration, list[object]]:
    ended: list[object] = []
    worker = AutomaticDemonstration(graph, max_duration_s, 0.0, ended.append, ended.append)
    graph.worker = worker
    worker.begin()
    return worker, ended


def steps(worker: DemonstrationWorker, number: int = 4) -> None:
    for _ in range(number):
        worker.step()


def test_the_expert_begins_at_once_and_the_tasks_own_test_judges(graph: Graph) -> None:
    worker, ended = automatic(graph)
    steps(worker)
    assert (graph.did, ended) == (["start", "take over"], [])
    worker.done(True)
    steps(worker)
    assert graph.did[2:] == ["let go", "stop SUCCESS"]
    assert ended == ["success"]


def test_a_success_that_does_not_last_is_none(graph: Graph) -> None:
    worker, ended = automatic(graph)
    worker.done(True)
    worker.done(False)
    steps(worker)
    assert ended == []


def test_a_record_that_is_ended_elsewhere_ends_the_expert(graph: Graph) -> None:
    worker, ended = automatic(graph)
    steps(worker)
    graph.tell(IDLE)  # by a service call, or by a recorder that died and came back
    steps(worker)
    assert graph.did[-1] == "let go"
    assert ended == [""]


def test_an_expert_without_success_has_failed(graph: Graph) -> None:
    worker, ended = automatic(graph, max_duration_s=0.0)
    steps(worker)
    assert graph.did[-1] == "stop FAILURE"
    assert ended == ["failure"]


@pytest.mark.parametrize("which", ["refusal", "arm_refusal"])
def test_an_expert_that_cannot_begin_says_why_once(graph: Graph, which: str) -> None:
    error = NotReadyError("nobody offers it")
    setattr(graph, which, error)
    worker, ended = automatic(graph)
    steps(worker)
    assert ended == [error]


CONFIG = TeleopConfig(failure_button=2, discard_button=3)


def reading(held: bool, *presses: int) -> DeviceReading:
    return DeviceReading(0, np.zeros(6), (held, False, False, False), presses)


@pytest.mark.parametrize(
    ("held", "presses", "state", "command"),
    [
        (False, (0, 1, 0, 0), IDLE, OperatorCommand.START),
        (False, (0, 1, 0, 0), RECORDING, OperatorCommand.SUCCESS),
        (False, (0, 1, 0, 0), STOPPED, OperatorCommand.SUCCESS),
        (True, (0, 1, 0, 0), RECORDING, None),  # the gripper's
        (True, (0, 0, 1, 0), RECORDING, OperatorCommand.FAILURE),
        (False, (0, 0, 0, 1), RECORDING, OperatorCommand.DISCARD),
        (False, (1, 0, 0, 0), IDLE, None),  # the deadman itself
        (False, (0, 0, 0, 0), IDLE, None),
    ],
)
def test_buttons(held: bool, presses: tuple[int, ...], state: RecorderState, command: object) -> None:
    buttons = OperatorButtons(CONFIG)
    assert buttons.update(reading(held, 0, 0, 0, 0), state) is None
    assert buttons.update(reading(held, *presses), state) is command
    assert buttons.update(reading(held, *presses), state) is None  # not again


def test_buttons_that_were_pressed_before_mean_nothing() -> None:
    assert OperatorButtons(CONFIG).update(reading(False, 0, 3, 0, 0), IDLE) is None


def test_without_a_deadman_the_grippers_button_is_the_grippers() -> None:
    buttons = OperatorButtons(TeleopConfig(deadman=Deadman.NONE))
    buttons.update(reading(False, 0, 0), IDLE)
    assert buttons.update(reading(False, 0, 1), IDLE) is None


def test_one_button_has_one_meaning() -> None:
    with pytest.raises(ConfigError, match="must differ"):
        TeleopConfig(failure_button=1)
