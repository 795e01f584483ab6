"""What the conditions put into the twin's pictures, and that they leave the rest alone."""

from itertools import combinations
from typing import ClassVar

import mujoco
import numpy as np
import pytest

from glue_bringup.loop.pilot import Pilot
from glue_bringup.loop.sync_session import SyncSession
from glue_bringup.sim.camera_config import CameraConfig
from glue_bringup.sim.experts import get_expert
from glue_bringup.sim.ood import IN_DOMAIN, get_condition
from glue_bringup.sim.ood.clutter import GAP_M
from glue_bringup.sim.ood.foreground import TOLERANCE
from glue_bringup.sim.ood.stage import Stage
from glue_bringup.sim.ood.task_objects import robot_mask, task_objects
from glue_bringup.sim.protocol_twin import ProtocolTwin
from glue_bringup.sim.rendering import OffscreenRenderer
from glue_bringup.sim.scene import build_scene
from glue_bringup.sim.start_state import sample_start
from glue_bringup.sim.sync_twin import SyncTwin
from glue_bringup.sim.tasks.push_button import PushButton
from glue_bringup.task_config import load_task
from glue_perception.errors import ConfigError, QueryError

pytestmark = pytest.mark.render

MS = 1_000_000
SMALL = CameraConfig(width_px=320, height_px=240)
HARDEST = ("clutter:3", "occlusion:3", "light:3")


@pytest.fixture(scope="module")
def twins():
    built = {name: SyncTwin("push_button", 0, SMALL, condition=get_condition(name)) for name in HARDEST}
    built["in_domain"] = SyncTwin("push_button", 0, SMALL)
    yield built
    for twin in built.values():
        twin.close()


class Drawn:
    """A scene of push_button at the start of episodes, drawn by a stage of its own."""

    def __init__(self, condition: str) -> None:
        self.task = PushButton()
        simulator = build_scene(self.task, SMALL, sample_start(0), get_condition(condition))
        simulator.init()
        simulator.start()
        self.model = simulator.model
        self.stage = Stage(self.model, self.task, SMALL, get_condition(condition))
        self.renderer = OffscreenRenderer(self.model, "third_person", SMALL.width_px, SMALL.height_px)
        self.objects = task_objects(self.task, self.model)

    def begin(self, seed: int) -> None:
        self.stage.begin(seed)
        self.data = mujoco.MjData(self.model)
        self.task.apply_layout(self.model, self.data, self.task.sample_layout(seed))
        start = sample_start(seed)
        self.data.qpos[:7] = start.joint_position_rad
        self.data.qpos[7:9] = start.gripper_width_m / 2
        mujoco.mj_forward(self.model, self.data)

    def target_and_arm(self) -> tuple[np.ndarray, np.ndarray]:
        seen = self.renderer.segment(self.data, (0, 1, 2, 5))
        return self.objects[0].mask(seen), robot_mask(self.model, seen)


@pytest.fixture(scope="module")
def plain():
    drawn = Drawn("in_domain")
    yield drawn
    drawn.stage.close()


@pytest.fixture(scope="module")
def cluttered():
    drawn = Drawn("clutter:3")
    yield drawn
    drawn.stage.close()


def flown(twin, seed: int, seconds: float) -> list[bytes]:
    """Let the expert fly; return what the robot did. A picture in between must not matter."""
    twin.reset(seed)
    twin.arm.start()
    expert = get_expert("push_button")
    states = []
    for _ in range(round(seconds * 10)):
        state = twin.arm.state()
        states.append(state.joint_position_rad.tobytes())
        action = expert.action(state, twin.truth)
        twin.gripper.command(action.gripper_width_m)
        twin.arm.set_target(action.T_base_ee)
        twin.advance(100 * MS)
    twin.render()
    return states


@pytest.mark.parametrize("name", HARDEST)
def test_a_seed_has_one_layout_and_one_physics_in_all_conditions(twins, name) -> None:
    reference = flown(twins["in_domain"], 3, 0.8)
    twins[name].render()
    assert flown(twins[name], 3, 0.8) == reference
    np.testing.assert_array_equal(twins[name].truth.cap_top_m, twins["in_domain"].truth.cap_top_m)


@pytest.mark.parametrize("name", HARDEST)
def test_a_seed_has_one_picture_whatever_came_before(twins, name) -> None:
    twin = twins[name]
    twin.reset(4)
    first = twin.render().rgb
    twin.reset(5)
    twin.advance(300 * MS)
    other = twin.render().rgb
    twin.reset(4)
    assert np.array_equal(twin.render().rgb, first)
    assert (np.abs(other.astype(int) - first).max(axis=2) > 20).mean() > 0.02
    with SyncTwin("push_button", 4, SMALL, condition=get_condition(name)) as fresh:
        assert np.array_equal(fresh.render().rgb, first)


def test_in_domain_is_the_plain_scene(twins, plain) -> None:
    twins["in_domain"].reset(4)
    with SyncTwin("push_button", 4, SMALL, condition=IN_DOMAIN) as twin:
        assert np.array_equal(twin.render().rgb, twins["in_domain"].render().rgb)
    assert plain.stage.distractors == ()
    assert plain.stage.hidden is None


@pytest.mark.parametrize("name", HARDEST)
def test_the_picture_differs_from_the_plain_one(twins, name) -> None:
    for twin in (twins["in_domain"], twins[name]):
        twin.reset(6)
        twin.advance(600 * MS)
    change = np.abs(twins[name].render().rgb.astype(int) - twins["in_domain"].render().rgb).max(axis=2)
    assert (change > 20).mean() > 0.05


@pytest.mark.parametrize("seed", [8, 11])
def test_distractors_are_as_many_as_asked_and_hide_and_touch_nothing(plain, cluttered, seed) -> None:
    for drawn in (plain, cluttered):
        drawn.begin(seed)
    placed = cluttered.stage.distractors
    assert len(placed) == len({p.index for p in placed}) == 20
    for a, b in combinations(placed, 2):
        assert np.hypot(*np.subtract(a.xy_m, b.xy_m)) >= a.radius_m + b.radius_m
    points = cluttered.objects[0].points_m(cluttered.model, cluttered.data)[:, :2]
    for p in placed:
        assert np.linalg.norm(points - p.xy_m, axis=1).min() >= p.radius_m + GAP_M - 1e-9
    assert np.array_equal(plain.target_and_arm()[0], cluttered.target_and_arm()[0])


def test_one_or_more_distractors_have_the_targets_own_colour(cluttered) -> None:
    own = cluttered.model.geom("button_cap").rgba[:3]
    for seed in range(4):
        cluttered.begin(seed)
        shown = [
            g
            for g in range(cluttered.model.ngeom)
            if cluttered.model.body(int(cluttered.model.geom_bodyid[g])).name.startswith("distractor_")
            and cluttered.model.geom_group[g] == 1
        ]
        assert any(np.allclose(cluttered.model.geom_rgba[g, :3], own) for g in shown)


@pytest.mark.parametrize("seed", [1])
def test_the_arm_passes_clear_of_distractors(twins, seed) -> None:
    """They are intangible, so an arm that went through one would look wrong."""
    twin = twins["clutter:3"]
    twin.reset(seed)
    twin.render()
    model, data = twin._model, mujoco.MjData(twin._model)
    names = [model.body(int(b)).name for b in model.geom_bodyid]
    shown = [g for g, n in enumerate(names) if n.startswith("distractor_") and model.geom_group[g] == 1]
    arm = [g for g, n in enumerate(names) if n.startswith("robot0") and model.geom_group[g] == 3]
    twin.arm.start()
    expert = get_expert("push_button")
    for _ in range(30):
        action = expert.action(twin.arm.state(), twin.truth)
        twin.gripper.command(action.gripper_width_m)
        twin.arm.set_target(action.T_base_ee)
        twin.advance(100 * MS)
        data.qpos[:] = twin._data.qpos
        mujoco.mj_kinematics(model, data)
        nearest = min(mujoco.mj_geomDistance(model, data, a, d, 0.05, None) for a in arm for d in shown)
        assert nearest > 0.0
        if twin.is_success():
            break
    assert twin.is_success()


@pytest.mark.parametrize("asked", [0.25, 0.6])
def test_foreground_objects_hide_what_was_asked(plain, asked) -> None:
    drawn = Drawn(f"occlusion:{asked}")
    for seed in range(3):
        plain.begin(seed)
        drawn.begin(seed)
        for before, after, said in zip(
            plain.target_and_arm(),
            drawn.target_and_arm(),
            (drawn.stage.hidden.target, drawn.stage.hidden.arm),
            strict=True,
        ):
            share = 1.0 - (before & after).sum() / before.sum()
            # At this size a target has some 170 px, one column of which is 6 %.
            assert share == pytest.approx(asked, abs=max(TOLERANCE, 0.05))
            assert share == pytest.approx(said, abs=0.01)
    drawn.stage.close()


def test_light_changes_with_time_and_only_with_time(twins) -> None:
    twin = twins["light:3"]

    def at(milliseconds: int) -> np.ndarray:
        twin.reset(2)
        twin.advance(milliseconds * MS)
        return twin.render().rgb.astype(int)

    twins["in_domain"].reset(2)
    twin.reset(2)
    assert np.array_equal(twin.render().rgb, twins["in_domain"].render().rgb)  # the lamp is not up yet
    walls = np.s_[:60, :100]  # no arm there
    assert np.array_equal(at(500), at(500))
    moved = np.abs(at(500)[walls] - at(900)[walls]).max(axis=2)
    assert (moved > 25).mean() > 0.03
    colours = at(500)[walls].reshape(-1, 3)
    assert np.ptp(colours - colours.mean(axis=1, keepdims=True), axis=0).max() > 60


def test_the_protocol_twin_shows_the_same_condition(twins) -> None:
    twins["clutter:3"].reset(5)
    expected = twins["clutter:3"].render().rgb.astype(int)
    with ProtocolTwin("push_button", 5, SMALL, get_condition("clutter:3")) as twin:
        difference = np.abs(expected - twin.camera.read(5.0).rgb)
    assert (difference > 20).mean() < 0.005


def test_a_task_that_names_no_objects_has_one_of_all_it_adds(plain) -> None:
    class Silent(PushButton):
        object_geoms: ClassVar = {}

    (everything,) = task_objects(Silent(), plain.model)
    assert set(everything.geoms) == set(plain.objects[0].geoms)

    class Wrong(PushButton):
        object_geoms: ClassVar = {"red button": ("knob",)}

    with pytest.raises(ConfigError, match="'knob' for 'red button'"):
        task_objects(Wrong(), plain.model)


def test_a_refused_first_frame_is_a_failure_out_of_distribution_and_an_error_in_it() -> None:
    from dataclasses import replace

    task = replace(load_task("push_button"), queries=("purple button",), camera=SMALL)
    pilot = Pilot(task, "expert")
    with SyncSession(task, pilot, get_condition("occlusion:1")) as session:
        result = session.run(1, None)
    assert not result.success
    assert result.perception_events == {"first_frame_refused": 1}
    with SyncSession(task, pilot) as session, pytest.raises(QueryError):
        session.run(1, None)
