"""Corresponding places of two views, and precise places of corners."""

import cv2
import numpy as np
import pytest

from training.views import Views, precise_places

SIDE = 48
SHIFT = np.array([2.5, 0.0])  # [px] of everything between the views


def shifted(*shifts):
    """Homographies that shift by (x, y)."""
    return [np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], float) for x, y in shifts]


def views_of(images, layers, homographies):
    return Views(images, images, layers, [np.zeros((0, 2))] * 2, np.zeros(0), homographies)


@pytest.fixture
def spots():
    """Bright spots at two places, which move by SHIFT."""
    y, x = np.mgrid[:SIDE, :SIDE]
    images = np.zeros((2, SIDE, SIDE))
    for view in (0, 1):
        for place in ((15.3, 20.6), (30.0, 25.25)):
            dx, dy = x - place[0] - view * SHIFT[0], y - place[1]
            images[view] += 200 * np.exp(-(dx**2 + dy**2) / (2 * 1.5**2))
    ones = np.ones((2, SIDE, SIDE), np.uint8)
    return views_of(np.rint(images).astype(np.uint8), ones, shifted(SHIFT))


@pytest.fixture
def strip():
    """A strip in front moves right by 4 px; the background stands still."""
    layers = np.ones((2, SIDE, SIDE), np.uint8)
    layers[0, :, 10:20] = 2
    layers[1, :, 14:24] = 2
    return views_of(np.zeros_like(layers), layers, shifted((0, 0), (4, 0)))


def test_each_layer_has_its_own_motion(strip):
    points = np.array([[5.0, 8], [12, 8], [22, 8], [-1, 8]])
    there, seen = strip.across(0, points)
    assert np.allclose(there[:2], [[5, 8], [16, 8]])
    assert seen.tolist() == [True, True, False, False]  # hidden by the strip; outside
    back, seen = strip.across(1, there[:2])
    assert np.allclose(back, points[:2])
    assert seen.all()


def test_pixels_that_both_views_share(strip):
    here, there = strip.shared(0)[8], strip.shared(1)[8]
    assert np.flatnonzero(here == 0).tolist() == [20, 21, 22, 23]  # hidden in the second view
    assert np.flatnonzero(there == 0).tolist() == [10, 11, 12, 13]  # hidden in the first


def test_values_are_warped_layer_by_layer(strip):
    values = np.tile(np.arange(SIDE, dtype=np.float32), (SIDE, 1))
    row = strip.warped(0, values)[8]
    assert row[9:12].tolist() == [9, 14, 15]  # the strip begins at 10 and comes from 14


def test_precise_places_are_the_centres_of_spots(spots):
    rows, first, second, gap = precise_places(spots, np.array([[16.0, 20], [40, 2], [29, 26]]))
    assert {0, 2} <= set(rows.tolist())
    places = first[np.isin(rows, [0, 2])]
    assert np.abs(places - [[15.3, 20.6], [30, 25.25]]).max() < 0.05
    assert np.allclose(second - first, SHIFT, atol=1e-5)
    assert gap[np.isin(rows, [0, 2])].max() < 0.1


def test_the_gap_is_the_distance_of_what_both_images_show(spots):
    """The second image is moved by 1 px more than the homography says."""
    clean = spots.clean.copy()
    clean[1] = cv2.warpAffine(clean[1], np.array([[1.0, 0, 0], [0, 1, 1]]), (SIDE, SIDE))
    moved = views_of(clean, spots.layers, spots.homographies)
    _, first, _, gap = precise_places(moved, np.array([[15.0, 20]]))
    assert abs(gap[0] - 1) < 0.05
    assert np.abs(first[0] - [15.3, 21.1]).max() < 0.05
