"""Normalised cross-correlation in shifted windows."""

import cv2
import numpy as np
import pytest

from superpoint_rknn.tracking.patch_similarity import ShiftedWindows, similarity

WINDOWS = ShiftedWindows(radius=3, shift=2)
POINTS = np.array([[60.0, 50.0], [83.0, 41.0]])
ROWS, COLUMNS = np.arange(-2, 3), np.arange(-8, 9)
LEVEL = np.zeros(2)


@pytest.fixture(scope='module')
def image():
    noise = np.random.default_rng(0).uniform(0, 255, (100, 140)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 1.5)


def best(values):
    """Row and column of the largest value of each point."""
    index = values.reshape(len(values), -1).argmax(axis=1)
    return np.stack([ROWS[index // len(COLUMNS)], COLUMNS[index % len(COLUMNS)]], axis=1).tolist()


def test_moved_image_of_another_contrast(image):
    moved = 0.3 * np.roll(image, (1, -5), axis=(0, 1)) + 20
    values = similarity((image, moved), POINTS, POINTS, ROWS, COLUMNS, WINDOWS, LEVEL)
    assert best(values) == [[1, -5], [1, -5]]
    assert values.max() == pytest.approx(1, abs=1e-4)
    assert np.median(values) < 0.6


def test_places_follow_the_slopes(image):
    moved = np.roll(image, (1, -4), axis=(0, 1))
    slopes = np.array([-0.25, 0.25])  # 4 px to the left: 1 px lower, 1 px higher
    values = similarity((image, moved), POINTS, POINTS, ROWS, COLUMNS, WINDOWS, slopes)
    assert best(values) == [[0, -4], [2, -4]]


def test_one_window_lies_on_one_side_of_an_edge(image):
    moved = np.roll(image, -5, axis=1)
    other = np.random.default_rng(1).uniform(0, 255, image.shape).astype(np.float32)
    moved[:, 57:] = other[:, 57:]  # right of the point's place, 55: another background
    point = POINTS[:1]
    alone = ShiftedWindows(radius=5, shift=0)
    shifted = similarity((image, moved), point, point, ROWS, COLUMNS, WINDOWS, LEVEL[:1])
    assert best(shifted) == [[0, -5]]
    assert shifted.max() > 0.95
    assert similarity((image, moved), point, point, ROWS, COLUMNS, alone, LEVEL[:1]).max() < 0.9


def test_uniform_patches_do_not_match(image):
    flat = np.full_like(image, 100)
    for images in ((flat, image), (image, flat), (flat, flat)):
        values = similarity(images, POINTS, POINTS, ROWS, COLUMNS, WINDOWS, LEVEL)
        assert np.isfinite(values).all()
        assert values.max() < 0.1
