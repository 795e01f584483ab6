"""Names, grades and numbers of conditions; needs no simulator."""

import pytest

from glue_bringup.cli.main import main
from glue_bringup.loop.episode import HostKind, summarise
from glue_bringup.loop.session import episode_metadata
from glue_bringup.sim.ood import CONDITIONS, IN_DOMAIN, Condition, ConditionKind, get_condition
from glue_bringup.task_config import load_task
from glue_perception.errors import ConfigError
from glue_perception.timing import LatencyRecorder


def test_every_named_condition_comes_back_from_its_name() -> None:
    assert CONDITIONS[0] == "in_domain"
    assert len(CONDITIONS) == len(set(CONDITIONS)) == 10
    assert [get_condition(name).name for name in CONDITIONS] == list(CONDITIONS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("in_domain", IN_DOMAIN),
        ("clutter", get_condition("clutter:2")),
        ("clutter:distractors=14", Condition(ConditionKind.CLUTTER, distractors=14)),
        ("occlusion:0.5", Condition(ConditionKind.OCCLUSION, hidden_share=0.5)),
        ("occlusion:0.4", get_condition("occlusion:2")),
        (
            " light:strength=0.5, speed_rad_s=3",
            Condition(ConditionKind.LIGHT, strength=0.5, speed_rad_s=3.0, fade_in_s=0.5),
        ),
    ],
)
def test_texts_mean_numbers_and_back(text, expected) -> None:
    condition = get_condition(text)
    assert condition == expected
    assert get_condition(condition.name) == condition


def test_numbers_left_out_are_those_of_grade_2() -> None:
    faster = get_condition("light:speed_rad_s=4")
    assert faster.strength == get_condition("light:2").strength
    assert faster.grade is None
    assert get_condition("light").grade == 2


@pytest.mark.parametrize("kind", [ConditionKind.CLUTTER, ConditionKind.OCCLUSION, ConditionKind.LIGHT])
def test_grades_grow(kind) -> None:
    grades = [get_condition(f"{kind}:{grade}") for grade in (1, 2, 3)]
    for name in ("distractors", "hidden_share", "strength", "speed_rad_s"):
        values = [getattr(grade, name) for grade in grades]
        assert values == sorted(values)
    assert len(set(grades)) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cluter:2", "Did you mean 'clutter'"),
        ("clutter:7", "grades are 1, 2 and 3"),
        ("clutter:distractors=90", "must lie in 1..20"),
        ("clutter:hidden_share=0.4", "no number 'hidden_share'"),
        ("occlusion:0.9", "must lie in 0.05..0.75, not 0.9"),
        ("occlusion:", "must be a number"),
        ("light:strenght=1", "Did you mean 'strength'"),
        ("light:strength=nan", "must lie in"),
        ("in_domain:1", "has no grade"),
        ("", "unknown condition"),
    ],
)
def test_what_cannot_be_meant_is_refused(text, message) -> None:
    with pytest.raises(ConfigError, match=message):
        get_condition(text)


def test_a_number_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="clutter has no hidden_share"):
        Condition(ConditionKind.CLUTTER, distractors=3, hidden_share=0.2)


def test_the_command_refuses_a_wrong_condition_at_once(capsys) -> None:
    assert main(["sim", "push_button", "--sync", "--condition", "clutter:9"]) == ConfigError.exit_code
    assert "grades are 1, 2 and 3" in capsys.readouterr().err


def test_bag_and_report_name_the_condition() -> None:
    task = load_task("push_button")
    metadata = episode_metadata(task, "expert", HostKind.SYNC, 3, [], get_condition("occlusion:3"))
    assert metadata["condition"] == "occlusion:3"
    report = summarise("push_button", HostKind.SYNC, "expert", 0, [], LatencyRecorder(), "", "light:1")
    assert report["condition"] == "light:1"
