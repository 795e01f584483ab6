"""A recorder on streams that arrive when they like: what begins an episode, and what belongs to a frame."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from demonstrations import FRAMES_PER_ACTION, action, frame, patches, position_m, stamp_ns, state

from glue_bringup.recording.audit import Severity
from glue_bringup.recording.demonstration_recorder import DemonstrationRecorder, RecorderState
from glue_bringup.recording.episode_recorder import Outcome
from glue_bringup.recording.live_recorder import FIRST_FRAMES, RECENT_FRAMES, LiveRecorder
from glue_bringup.recording.rollout_recorder import RolloutRecorder
from glue_bringup.recording.said_metadata import said_metadata
from glue_perception.bags.reader import BagReader
from glue_perception.errors import ConfigError, HardwareError, NotReadyError, QueryError
from glue_perception.types import KeyPatches
from glue_policy.data.from_bags import training_set_of


@pytest.fixture
def live(tmp_path: Path) -> LiveRecorder:
    return LiveRecorder(DemonstrationRecorder(tmp_path, {"task": "push_button"}), first_state_s=0.1)


def see(live: LiveRecorder, *numbers: int) -> None:
    for k in numbers:
        live.robot_state(state(k, stamp_ns(k) + 1_000_000))
        live.frame(frame(k, stamp_ns(k)))


def find(k: int) -> KeyPatches:
    return patches(k, stamp_ns(k))


def recorded(path: Path) -> list[int]:
    """Numbers of the recorded frames, after a look at what goes with them."""
    with BagReader(path) as bag:
        stamps = [f.stamp_ns for f in bag.frames()]
        assert [p.stamp_ns for p in bag.key_patches()] == stamps
        assert [s.stamp_ns for s in bag.robot_states()] == stamps
    numbers = {stamp_ns(k): k for k in range(1000)}
    return [numbers[stamp] for stamp in stamps]


def test_the_record_begins_with_the_frame_in_which_the_objects_were_found(live: LiveRecorder) -> None:
    see(live, 0, 1)
    live.key_patches(find(1))  # of the tracking before: nothing is being recorded

    def find_slowly() -> KeyPatches:
        live.key_patches(find(1))
        see(live, *range(2, 2 + FIRST_FRAMES + RECENT_FRAMES + 10))
        return find(3)

    last = 1 + FIRST_FRAMES + RECENT_FRAMES + 10
    path = live.begin(find_slowly, {})
    live.key_patches(find(3))  # the same once more, by its topic
    live.key_patches(find(2))  # late, of before
    live.key_patches(find(last))
    live.finish(DemonstrationRecorder.failure)
    assert recorded(path) == [3, last]


def test_what_is_tracked_while_the_answer_is_under_way_is_recorded(live: LiveRecorder) -> None:
    see(live, 0)

    def find_and_go_on() -> KeyPatches:
        for k in (0, 1, 2):
            see(live, k + 1)
            live.key_patches(find(k))
        return find(0)

    path = live.begin(find_and_go_on, {})
    live.key_patches(find(3))
    live.finish(DemonstrationRecorder.failure)
    assert recorded(path) == [0, 1, 2, 3]
    assert live.unmatched == 0


def test_key_patches_wait_for_their_frame_and_miss_it_loudly(live: LiveRecorder) -> None:
    see(live, 0)
    path = live.begin(lambda: find(0), {})
    for k in (1, 2, 3):
        live.key_patches(find(k))
    see(live, 1, 3)  # frame 2 was lost on its way
    assert live.unmatched == 1
    live.finish(DemonstrationRecorder.failure)
    assert recorded(path) == [0, 1, 3]
    with BagReader(path) as bag:
        assert bag.metadata["frames_missed"] == "1"


def test_a_frame_gets_the_state_nearest_to_its_capture(live: LiveRecorder) -> None:
    for k in range(6):
        live.robot_state(state(k, stamp_ns(k) + 2_000_000))
    live.frame(frame(3, stamp_ns(3)))
    path = live.begin(lambda: find(3), {})
    live.finish(DemonstrationRecorder.failure)
    with BagReader(path) as bag:
        (kept,) = bag.robot_states()
    assert kept.stamp_ns == stamp_ns(3)
    assert kept.T_base_ee[:3, 3] == pytest.approx(position_m(3))


@pytest.mark.parametrize(
    ("prepare", "found", "error"),
    [
        (lambda live: see(live, 0), 7, HardwareError),  # a frame that did not come
        (lambda live: live.frame(frame(0, stamp_ns(0))), 0, HardwareError),  # no robot state
    ],
)
def test_what_an_episode_cannot_begin_without(
    live: LiveRecorder, tmp_path: Path, prepare: Callable[[LiveRecorder], None], found: int, error: type
) -> None:
    prepare(live)
    with pytest.raises(error):
        live.begin(lambda: find(found), {})
    assert live.state is RecorderState.IDLE
    assert list(tmp_path.iterdir()) == []


def test_a_frame_that_is_lost_on_its_way_is_no_end_of_it(live: LiveRecorder) -> None:
    see(live, 0)
    searches = iter((5, 6))
    late = threading.Timer(0.1, lambda: see(live, 6))

    def search() -> KeyPatches:
        k = next(searches)  # 5 never comes, 6 comes after the word of what was found in it
        if k == 6:
            late.start()
        return find(k)

    path = live.begin(search, {})
    late.join()
    live.finish(DemonstrationRecorder.failure)
    assert recorded(path) == [6]


def test_the_first_robot_state_is_waited_for(tmp_path: Path) -> None:
    live = LiveRecorder(DemonstrationRecorder(tmp_path, {"task": "push_button"}))
    late = threading.Timer(0.2, lambda: live.robot_state(state(0, stamp_ns(0))))

    def search() -> KeyPatches:
        live.frame(frame(0, stamp_ns(0)))
        return find(0)

    late.start()
    assert live.begin(search, {}).is_dir()
    late.join()
    live.close()


def test_closing_ends_the_wait_for_a_robot_state(tmp_path: Path) -> None:
    live = LiveRecorder(DemonstrationRecorder(tmp_path, {"task": "push_button"}), first_state_s=60.0)
    ending = threading.Timer(0.1, live.close)
    ending.start()
    with pytest.raises(HardwareError, match="no robot state"):
        live.begin(lambda: find(0), {})
    ending.join()
    assert list(tmp_path.iterdir()) == []


def test_objects_that_are_not_found_leave_no_record(live: LiveRecorder, tmp_path: Path) -> None:
    see(live, 0)

    def fail() -> KeyPatches:
        raise QueryError("no red button")

    with pytest.raises(QueryError, match="no red button"):
        live.begin(fail, {})
    assert list(tmp_path.iterdir()) == []
    assert live.begin(lambda: find(0), {}).is_dir()  # and the next one may begin
    live.close()


def test_an_episode_without_a_verdict_is_in_the_way_before_anything_is_searched(live: LiveRecorder) -> None:
    see(live, 0)
    live.begin(lambda: find(0), {})
    live.stop()
    with pytest.raises(NotReadyError, match="stopped"):
        live.begin(lambda: pytest.fail("searched"), {})
    live.close()


@pytest.mark.parametrize("name", ["../away", "/etc", ".", "a/b", "-x", "a b"])
def test_a_name_stays_in_the_folder(live: LiveRecorder, name: str) -> None:
    see(live, 0)
    with pytest.raises(ConfigError, match="name"):
        live.begin(lambda: find(0), {}, name)


def play(live: LiveRecorder, frames: int = 60) -> None:
    """A demonstration as the topics bring it: key-patches and actions after their frames."""
    for k in range(1, frames):
        see(live, k)
        live.key_patches(find(k))
        if k % FRAMES_PER_ACTION == 0:
            live.demonstrated_action(action(k, stamp_ns(k)))


def test_a_demonstration_passes_its_audit_and_is_trained_on(live: LiveRecorder, tmp_path: Path) -> None:
    see(live, 0)
    path = live.begin(lambda: find(0), {"seed": "5"}, "mine")
    play(live)
    episode = live.finish(DemonstrationRecorder.success)
    assert (episode.outcome, episode.findings) == (Outcome.SUCCESS, ())
    assert path == tmp_path / "mine"
    assert recorded(path) == list(range(60))
    assert len(training_set_of(tmp_path, 32, 0.1)) == 19


def test_what_a_policy_did_is_recorded_whatever_the_audit_finds(tmp_path: Path) -> None:
    live = LiveRecorder(RolloutRecorder(tmp_path, {"task": "push_button"}))
    see(live, 0)
    live.begin(lambda: find(0), {})
    for k in range(1, 30, 2):
        see(live, k)
        live.key_patches(find(k))
    episode = live.finish(DemonstrationRecorder.success)
    assert episode.outcome is Outcome.SUCCESS
    assert {finding.severity for finding in episode.findings} <= {Severity.WARN}
    assert "no_actions" not in {finding.check for finding in episode.findings}


def test_frames_are_kept_within_bounds(live: LiveRecorder) -> None:
    def find_after_many() -> KeyPatches:
        see(live, *range(1, 400))
        return find(FIRST_FRAMES + 1)  # neither among the first nor among the newest

    see(live, 0)
    with pytest.raises(HardwareError):
        live.begin(find_after_many, {})


def test_what_a_person_says_is_kept_without_what_is_empty(tmp_path: Path) -> None:
    file = tmp_path / "hand_eye.yaml"
    file.write_text("camera: here\n", encoding="utf-8")
    said = said_metadata("Ada", "", file)
    assert set(said) == {"operator", "calibration", "calibration_sha256"}
    assert said["calibration"] == "camera: here\n"
    with pytest.raises(ConfigError, match=r"gone\.yaml"):
        said_metadata("", "", tmp_path / "gone.yaml")
