"""Refinement of keypoints: against the definition, and on images with known corners."""

import numpy as np
import pytest

from superpoint_rknn.features.refine import MARGIN, refine


def arrays(*values):
    return [np.array(value, np.float32) for value in values]


def dot(y, x, size=(40, 48)):
    """A bright Gaussian dot at (y, x), standard deviation 1.5 px."""
    v, u = np.mgrid[: size[0], : size[1]]
    distance = (u - x) ** 2 + (v - y) ** 2
    return np.rint(40 + 180 * np.exp(-distance / (2 * 1.5**2))).astype(np.uint8)


def by_definition(image, x, y):
    """The weighted centre, pixel by pixel."""
    smooth = image.astype(int)
    for axis in (0, 1):
        for _ in range(4):  # each time half a pixel shorter at both ends
            smooth = (np.delete(smooth, -1, axis) + np.delete(smooth, 0, axis) + 1) // 2
    smooth = np.pad(smooth, 2)
    col, row = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))

    def gradient(v, u):
        return smooth[v, u + 1] - smooth[v, u - 1], smooth[v + 1, u] - smooth[v - 1, u]

    total, centre = 0.0, np.zeros(2)
    for v in range(row - 3, row + 4):
        for u in range(col - 3, col + 4):
            around = [gradient(v + j, u + i) for j in (-1, 0, 1) for i in (-1, 0, 1)]
            matrix = sum(np.outer(g, g) for g in around).astype(float)
            strength = np.linalg.det(matrix) / (np.trace(matrix) + 1)
            weight = strength**2 * np.exp(-((u - x) ** 2 + (v - y) ** 2) / 8)
            total += weight
            centre += weight * np.array([u, v])
    return centre / total


def test_equals_the_definition():
    rng = np.random.default_rng(2)
    image = rng.integers(0, 256, (40, 48), np.uint8)
    x, y = (rng.uniform(MARGIN, size - MARGIN - 1, 30).astype(np.float32) for size in (48, 40))
    found = np.stack(refine(image, x, y), axis=1)
    expected = [by_definition(image, *point) for point in zip(x, y, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)
    assert found.dtype == np.float32


@pytest.mark.parametrize('start', [(20.0, 19.0), (21.3, 20.4), (19.0, 20.0)])
def test_a_keypoint_moves_to_its_corner(start):
    """Two thirds of the way to the dot, and more."""
    y, x = 20.3, 19.7
    (found_x,), (found_y,) = refine(dot(y, x), *arrays([start[1]], [start[0]]))
    before = np.hypot(start[1] - x, start[0] - y)
    assert np.hypot(found_x - x, found_y - y) < before / 3 + 0.05


def test_a_keypoint_at_its_corner_stays():
    x, y = refine(dot(20, 19), *arrays([19], [20]))
    assert (x[0], y[0]) == pytest.approx((19, 20), abs=1e-5)


def test_the_result_moves_with_the_image():
    image = np.random.default_rng(3).integers(0, 256, (60, 60), np.uint8)
    x, y = arrays([21.2, 30.7], [25.4, 28.0])
    found = refine(image, x, y)
    moved = refine(image[5:, 3:], x - 3, y - 5)
    np.testing.assert_allclose(moved, (found[0] - 3, found[1] - 5), rtol=0, atol=1e-4)


@pytest.mark.parametrize('value', [0, 255])
def test_keypoints_without_a_corner_around_stay(value):
    x, y = arrays([20.25, 9.0], [15.5, 20.75])
    found = refine(np.full((40, 48), value, np.uint8), x, y)
    np.testing.assert_array_equal(found, (x, y))


def test_keypoints_near_the_edge_stay():
    image = np.random.default_rng(4).integers(0, 256, (40, 48), np.uint8)
    edge = np.array([7.4, 47 - 7.4], np.float32)
    inner = np.array([7.5, 47 - 8.5], np.float32)
    middle = np.full(2, 20, np.float32)
    np.testing.assert_array_equal(refine(image, edge, middle), (edge, middle))
    np.testing.assert_array_equal(
        refine(image, middle, edge - np.float32([0, 8])), (middle, edge - np.float32([0, 8]))
    )
    assert (refine(image, inner, middle)[0] != inner).all()


def test_arguments_are_not_changed():
    image = np.random.default_rng(4).integers(0, 256, (40, 48), np.uint8)
    x, y = arrays([20.3], [21.4])
    refine(image, x, y)
    assert (x[0], y[0]) == (np.float32(20.3), np.float32(21.4))


def test_no_keypoints():
    x, y = refine(np.zeros((40, 48), np.uint8), *arrays([], []))
    assert x.size == y.size == 0
