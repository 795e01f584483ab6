import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glue_bringup.sim.camera_config import CameraConfig
from glue_perception.errors import ConfigError
from glue_perception.geometry import project_points

coordinate = st.floats(-2.0, 2.0)


@given(
    position=st.tuples(coordinate, coordinate, st.floats(0.3, 2.0)),
    look_at=st.tuples(coordinate, coordinate, st.floats(-0.5, 0.2)),
)
def test_it_looks_at_its_point_and_stands_upright(position, look_at) -> None:
    if np.hypot(position[0] - look_at[0], position[1] - look_at[1]) < 0.05:
        return
    camera = CameraConfig(position_m=position, look_at_m=look_at)
    T = camera.T_base_camera
    above = np.add(look_at, (0.0, 0.0, 0.05))
    pixels = project_points(np.array([look_at, above]), T, camera.intrinsics)
    np.testing.assert_allclose(pixels[0], [(640 - 1) / 2, (480 - 1) / 2], atol=1e-6)
    assert pixels[1, 1] < pixels[0, 1]
    np.testing.assert_allclose(T[:3, :3] @ T[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(T[:3, :3]) > 0


def test_the_field_of_view_spans_the_image() -> None:
    camera = CameraConfig(height_px=400, vertical_fov_deg=90.0)
    assert camera.intrinsics[1, 1] == pytest.approx(200.0)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"width_px": 4}, "4 x 480"),
        ({"rate_hz": 0.0}, "rate_hz"),
        ({"vertical_fov_deg": 180.0}, "180"),
        ({"position_m": (0.3, 0.0, 1.0), "look_at_m": (0.3, 0.0, 0.0)}, "straight"),
    ],
)
def test_impossible_cameras_are_refused(values, said) -> None:
    with pytest.raises(ConfigError, match=said):
        CameraConfig(**values)
