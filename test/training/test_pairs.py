"""Training pairs of views; needs no torch."""

import numpy as np
import pytest

pytest.importorskip('tqdm', reason='labelling shows its progress with tqdm')
from training import pairs
from training.labels import LabelledImage
from training.pairs import PairMaker, Plane, composed, shown
from training.views import warp

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


def test_the_homographies_map_the_corners_of_the_first_view_to_the_second(textured, rng):
    maker = PairMaker([textured], SIDE)
    counts = set()
    for _ in range(10):
        views = maker.make(rng)
        counts.add(len(views.homographies))
        for number, homography in enumerate(views.homographies, 1):
            here, there = (corners[views.corner_layers == number] for corners in views.corners)
            assert np.allclose(warp(homography, here), there, atol=1e-6)
    assert counts == {1, 2}  # some pairs have a picture in front


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


def test_the_picture_in_front_hides_the_other_one(rng):
    seen = np.zeros((2, 16, 16), np.uint8)
    seen[0, 4:8, 4:8] = seen[1, 4:8, 6:10] = 1  # moves right by 2 px
    still, moved = np.eye(3), np.array([[1, 0, 2], [0, 1, 0], [0, 0, 1.0]])
    dark, light = (np.full((2, 16, 16), grey, np.uint8) for grey in (10, 200))
    planes = [
        Plane(dark, np.ones_like(seen), [np.ones((1, 2))] * 2, still),
        Plane(light, seen, [np.full((2, 2), 5)] * 2, moved),
    ]
    views = composed(planes, rng)
    assert np.array_equal(views.layers, 1 + seen)
    assert np.array_equal(views.clean, np.where(seen, 200, 10))
    assert views.corner_layers.tolist() == [1, 2, 2]


def test_a_nearer_plane_is_larger_around_the_middle_of_the_view(rng, monkeypatch):
    monkeypatch.setattr(pairs, 'FRONT_SHIFT', 0)
    middle, right = warp(pairs.front_motion(100, rng), np.array([[50.0, 50], [100, 50]]))
    assert np.allclose(middle, 50)
    assert abs(right[0] - 100) > 0.1
