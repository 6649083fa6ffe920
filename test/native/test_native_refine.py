"""The native refinement equals NumPy's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superpoint_rknn.features.refine import refine
from superpoint_rknn.native.features import NativeRefiner

ROUNDING = 1e-3  # [px]


def assert_equal_points(native, image, x, y):
    expected = refine(image, x, y)
    found = NativeRefiner(native)(image, x, y)
    assert found[0].dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING)


@settings(deadline=None)
@given(data=st.data())
def test_random_images(native, data):
    height, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    seed, contrast = data.draw(st.integers(0, 2**32 - 1)), data.draw(st.sampled_from([1, 16, 255]))
    rng = np.random.default_rng(seed)
    image = rng.integers(0, contrast + 1, (height, width)).astype(np.uint8)
    count = data.draw(st.integers(0, 20))
    x = rng.uniform(-3, width + 3, count).astype(np.float32)
    y = rng.uniform(-3, height + 3, count).astype(np.float32)
    assert_equal_points(native, image, x, y)


@pytest.mark.parametrize('number', [np.nan, np.inf, -np.inf, 3e38, -1e-30])
def test_points_that_are_not_in_the_image_stay(native, number):
    image = np.random.default_rng(1).integers(0, 256, (40, 48), np.uint8)
    x = np.array([number, 20, 20.5], np.float32)
    y = np.array([20, number, 20.5], np.float32)
    found_x, found_y = NativeRefiner(native)(image, x, y)
    np.testing.assert_array_equal(found_x[:2], x[:2])
    np.testing.assert_array_equal(found_y[:2], y[:2])
    assert found_x[2] != x[2]


def test_the_image_is_read_to_its_last_byte_only(native):
    """The farthest point that is refined; a sanitiser would see more."""
    image = np.random.default_rng(1).integers(0, 256, (17, 17), np.uint8)
    assert_equal_points(native, image, np.float32([8.49]), np.float32([8.49]))
    assert NativeRefiner(native)(image, np.float32([8.0]), np.float32([8.0]))[0] != 8


def test_a_strided_image_is_read_as_it_is(native):
    image = np.random.default_rng(1).integers(0, 256, (40, 96), np.uint8)[:, ::2]
    assert_equal_points(native, image, np.float32([20.3]), np.float32([21.4]))


def test_arrays_of_other_shapes_raise(native):
    with pytest.raises(ValueError, match=r'points: x \(2,\), y \(3,\)'):
        NativeRefiner(native)(np.zeros((40, 48), np.uint8), np.zeros(2, 'f4'), np.zeros(3, 'f4'))
