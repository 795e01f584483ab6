"""Rotations, transforms, projection and grid cells."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from glue_perception import geometry

unit_quaternions = arrays(np.float64, 4, elements=st.floats(-1, 1)).filter(lambda q: np.linalg.norm(q) > 0.1)


@given(unit_quaternions)
def test_rotations_agree_with_scipy(xyzw) -> None:
    R = Rotation.from_quat(xyzw).as_matrix()
    np.testing.assert_allclose(geometry.matrix_from_quaternion(xyzw), R, atol=1e-12)
    np.testing.assert_allclose(
        geometry.matrix_from_quaternion(geometry.quaternion_from_matrix(R)), R, atol=1e-9
    )
    vector = geometry.rotation_vector(R)
    np.testing.assert_allclose(geometry.matrix_from_rotation_vector(vector), R, atol=1e-9)
    assert np.linalg.norm(vector) <= np.pi + 1e-9
    six = geometry.rotation_6d_from_matrix(R)
    np.testing.assert_allclose(geometry.matrix_from_rotation_6d(six), R, atol=1e-12)
    np.testing.assert_allclose(geometry.matrix_from_rotation_6d(3 * six), R, atol=1e-12)


@given(unit_quaternions, arrays(np.float64, 6, elements=st.floats(-1, 1)))
def test_one_rotation_has_the_bits_of_a_batch(xyzw, six) -> None:
    one, batch = geometry.matrix_from_quaternion(xyzw), geometry.matrix_from_quaternion(xyzw[None])[0]
    np.testing.assert_array_equal(one, batch)
    six[[0, 4]] += 2.0
    one, batch = geometry.matrix_from_rotation_6d(six), geometry.matrix_from_rotation_6d(six[None])[0]
    np.testing.assert_array_equal(one, batch)


@given(unit_quaternions, arrays(np.float64, 3, elements=st.floats(-5, 5)))
def test_inverse(xyzw, t) -> None:
    T = geometry.make_transform(Rotation.from_quat(xyzw).as_matrix(), t)
    np.testing.assert_allclose(geometry.invert_transform(T) @ T, np.eye(4), atol=1e-9)


def test_projection_of_a_point_on_the_optical_axis_and_behind() -> None:
    K = np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]])
    pixels = geometry.project_points(np.array([[0.0, 0, 2], [0.1, 0, 2], [0, 0, -1]]), np.eye(4), K)
    np.testing.assert_allclose(pixels[:2], [[320, 240], [350, 240]])
    assert np.isnan(pixels[2]).all()


def test_grid_cells_split_the_image_evenly_and_clamp() -> None:
    xs = np.arange(640.0)
    cells = geometry.grid_cells(np.stack([xs, np.zeros(640)], axis=1), 640, 480)
    counts = np.bincount(cells[:, 1], minlength=28)
    assert counts.min() >= 22
    assert counts.max() <= 23
    np.testing.assert_array_equal(geometry.grid_cells(np.array([[-5.0, 900.0]]), 640, 480), [[27, 0]])
