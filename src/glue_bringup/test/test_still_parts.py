"""Drawing what stands still only once must not change a pixel."""

from collections.abc import Iterator

import numpy as np
import pytest

from glue_bringup.sim.camera_config import CAMERA_NAME, CameraConfig
from glue_bringup.sim.rendering import OffscreenRenderer
from glue_bringup.sim.still_parts import StillParts
from glue_bringup.sim.sync_twin import SyncTwin

pytestmark = pytest.mark.render

CAMERA = CameraConfig(width_px=320, height_px=240)


@pytest.fixture
def twin() -> Iterator[SyncTwin]:
    with SyncTwin("push_button", 3, CAMERA) as twin:
        yield twin


@pytest.fixture
def renderers(twin: SyncTwin) -> Iterator[tuple[OffscreenRenderer, OffscreenRenderer]]:
    pair = [
        OffscreenRenderer(twin._model, CAMERA_NAME, CAMERA.width_px, CAMERA.height_px, still_parts)
        for still_parts in (StillParts.REDRAW, StillParts.REUSE)
    ]
    yield pair[0], pair[1]
    for renderer in pair:
        renderer.close()


def assert_same(twin: SyncTwin, renderers: tuple[OffscreenRenderer, OffscreenRenderer]) -> np.ndarray:
    twin._refresh_view()
    plain, reusing = renderers
    image = plain.render(twin._view)
    np.testing.assert_array_equal(reusing.render(twin._view), image)
    return image


def test_the_same_pixels_while_the_arm_moves_and_after_a_new_layout(twin, renderers) -> None:
    images = []
    for seed in (3, 4):
        twin.reset(seed)
        twin.arm.start()
        target = twin.arm.state().T_base_ee.copy()
        for _ in range(6):
            target[:3, 3] += (0.02, 0.01, -0.03)
            twin.arm.set_target(target)
            twin.advance(120_000_000)
            images.append(assert_same(twin, renderers))
    assert len({image.tobytes() for image in images}) == len(images)


def test_the_same_pixels_when_light_colour_or_place_of_a_still_thing_changes(twin, renderers) -> None:
    model = twin._model
    for _ in range(3):
        before = assert_same(twin, renderers)
    for change in (model.light_diffuse, model.geom_rgba[:, :3], model.body_pos[-2:]):
        change *= 0.7
        for _ in range(3):
            after = assert_same(twin, renderers)
        assert (after != before).any()
        before = after


def test_what_is_transparent_is_drawn_in_one_go(twin, renderers) -> None:
    twin._model.geom("table_top").matid[0] = -1
    twin._model.geom("table_top").rgba[3] = 0.5
    for _ in range(3):
        assert_same(twin, renderers)


def test_the_same_depths(twin, renderers) -> None:
    twin._refresh_view()
    plain, reusing = renderers
    _, expected_m = plain.render_with_depth(twin._view)
    for _ in range(3):
        _, depth_m = reusing.render_with_depth(twin._view)
        np.testing.assert_array_equal(depth_m, expected_m)
    assert 0.3 < expected_m.min() < expected_m.max()
