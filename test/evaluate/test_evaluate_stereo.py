"""Stereo pairs with the true disparity."""

import numpy as np
import pytest

from superpoint_rknn.evaluate.metrics import Features
from superpoint_rknn.evaluate.pairs import VIEW_SIZE
from superpoint_rknn.evaluate.scenes import protocol_material
from superpoint_rknn.evaluate.stereo import measure_stereo, stereo_pair

BLACK = np.zeros(VIEW_SIZE, np.uint8)
TWICE = (800, 1280)  # the views show it at half its size


def features(*points):
    """Points with a different descriptor each, so that equal rows match."""
    return Features(np.array(points, np.float32), np.eye(len(points), dtype=np.float32))


def test_errors_of_matches_with_known_disparity():
    disparity = np.full(VIEW_SIZE, 20.0, np.float32)
    disparity[:, 600:] = np.inf
    disparity[0] = 0
    pair = stereo_pair('flat', BLACK, BLACK, disparity)
    left = features((100, 50), (200, 50), (300, 50), (400, 50), (620, 50), (100, 0))
    right = features((80, 50), (180, 51), (277, 54), (378, 50), (600, 50), (80, 0))
    errors = pair.errors(left.points, right.points)
    np.testing.assert_allclose(errors[:4], [0, 1, 5, 2])
    assert np.isnan(errors[4:]).all()  # unknown: not finite, 0
    assert measure_stereo(left, right, pair) == {
        'mma3': 0.75,
        'median_error': 1.5,
        'known': 4,
        'matches': 6,
        'points': 6,
    }


def test_disparity_is_that_of_the_stored_pixel():
    disparity = np.full(TWICE, 20.0, np.float32)
    disparity[100, 60] = 40
    image = np.full(TWICE, 7, np.uint8)
    pair = stereo_pair('twice', image, image, disparity)
    assert pair.left.shape == pair.right.shape == VIEW_SIZE
    # The centre of the stored pixel (60, 100): (60 + 0.5) / 2 - 0.5
    left = np.array([[29.75, 49.75], [31.75, 49.75]])
    right = left - [[20, 0], [10, 0]]
    np.testing.assert_allclose(pair.errors(left, right), 0)


def test_without_known_truth_there_is_no_error():
    pair = stereo_pair('unknown', BLACK, BLACK, np.zeros(VIEW_SIZE, np.uint8))
    measured = measure_stereo(features((9, 9)), features((8, 9)), pair)
    assert (measured['mma3'], measured['known'], measured['matches']) == (0, 0, 1)
    assert np.isnan(measured['median_error'])


def test_the_disparity_of_the_motorcycle_maps_the_right_image_to_the_left(photographs):
    (pair,) = (p for p in protocol_material(allow_missing=True).stereo if p.name == 'motorcycle')
    rows, cols = (axis.ravel() for axis in np.mgrid[20:380:5, 100:620:5])
    left = np.stack([cols, rows], axis=1)
    offset = pair.errors(left, left)  # the disparity itself
    known = np.isfinite(offset)
    assert 0.7 < known.mean() < 1
    here = pair.left[rows[known], cols[known]].astype(float)

    def difference(disparity):
        there = np.rint(cols[known] - disparity).astype(int).clip(0)
        return np.median(np.abs(here - pair.right[rows[known], there]))

    true = difference(offset[known])
    assert true < 0.5 * difference(0 * offset[known])
    assert true < difference(offset[known] + 3)
    assert true < difference(offset[known] - 3)


@pytest.mark.parametrize('side', ['left', 'right'])
def test_both_images_are_stretched_alike(side):
    image = np.zeros((500, 741), np.uint8)
    image[100:] = 255
    pair = stereo_pair('edge', image, image, np.ones(image.shape))
    view = getattr(pair, side)
    assert view[78, 200] == 0  # 100 rows of 500 are 80 of 400
    assert view[81, 200] == 255
