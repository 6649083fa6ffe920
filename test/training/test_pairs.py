"""Training pairs of views; needs no torch."""

import numpy as np
import pytest

pytest.importorskip('tqdm', reason='labelling shows its progress with tqdm')
from training.labels import LabelledImage
from training.pairs import PairMaker, shown, warp

SIDE = 64


@pytest.fixture
def textured(rng):
    """An image of random squares, and their corners."""
    grey = np.kron(rng.integers(0, 256, (30, 40), np.uint8), np.ones((8, 8), np.uint8))
    y, x = np.mgrid[8:240:8, 8:320:8]
    corners = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32) - 0.5
    return LabelledImage(grey, corners, 'squares')


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def test_the_homography_maps_the_corners_of_the_first_view_to_the_second(textured, rng):
    views = PairMaker([textured], SIDE).make(rng)
    here, there = views.corners
    assert np.allclose(warp(views.homography, here), there, atol=1e-6)


def test_equal_seeds_give_equal_pairs(textured):
    first, second = (
        PairMaker([textured], SIDE).make(np.random.default_rng([7, 3])) for _ in range(2)
    )
    assert np.array_equal(first.images, second.images)


def test_images_without_corners_are_not_used(textured, rng):
    dull = LabelledImage(np.zeros((240, 320), np.uint8), np.zeros((0, 2), np.float32), 'dull')
    for _ in range(5):
        assert PairMaker([dull, textured], SIDE).make(rng).images.std() > 5


def test_region_of_a_picture_that_a_view_shows():
    """The view is far from the origin of the picture."""
    to_view = np.array([[0.5, 0, -500], [0, 0.5, -250], [0, 0, 1]])
    ends = [[1000, 500], [1128, 500], [1128, 628], [1000, 628]]
    assert np.allclose(shown(to_view, SIDE), ends)
