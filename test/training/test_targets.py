"""Targets of the detector: needs no torch."""

import numpy as np
import pytest

pytest.importorskip('tqdm', reason='labelling shows its progress with tqdm')
from training.targets import SIGMA, agreed_points, cell_target, labelled_points
from training.views import Views

SIDE = 48
PLACE = (21.3, 19.8)


@pytest.fixture
def views():
    """Two equal views of a bright spot at PLACE, labelled 1 px beside it."""
    y, x = np.mgrid[:SIDE, :SIDE]
    spot = np.exp(-((x - PLACE[0]) ** 2 + (y - PLACE[1]) ** 2) / (2 * 1.5**2))
    images = np.rint(np.stack([200 * spot] * 2)).astype(np.uint8)
    corner = np.array([[22.0, 19.0]])
    layers = np.ones_like(images)
    return Views(images, images, layers, [corner, corner], np.array([1]), [np.eye(3)])


def test_the_logarithm_of_a_target_is_a_parabola_with_its_peak_at_the_point():
    target, known = cell_target(np.array([[11.3, 12.0]]), np.ones((24, 24), np.uint8))
    left, middle, right = np.log(target[:64, 1, 1].reshape(8, 8)[4, 2:5])  # y = 12, x = 10..12
    assert left + right - 2 * middle == pytest.approx(-1 / SIGMA**2)
    assert (left - right) / (2 * (left + right - 2 * middle)) == pytest.approx(0.3)
    assert target[:, 1, 1].sum() == pytest.approx(1)
    assert target[64, 0, 0] == 1
    assert known.all()


def test_labelled_corners_are_moved_to_the_corner_of_the_image(views):
    for points in labelled_points(views):
        assert np.abs(points - PLACE).max() < 0.05


def test_hidden_corners_are_no_labels(views):
    views.layers[1] = 2  # a picture without corners in front of the second view
    first, second = labelled_points(views)
    assert (len(first), len(second)) == (1, 0)


def heat_of(*points):
    heat = np.zeros((2, SIDE, SIDE), np.float32)
    for x, y in points:
        heat[:, y, x] = 1
    return heat


def test_agreed_points_are_where_the_image_has_the_corner(views):
    for points in agreed_points(views, heat_of((22, 19)), 0, 0.02):
        assert np.abs(points - PLACE).max() < 0.05


def test_points_of_one_view_are_not_agreed(views):
    heat = heat_of((22, 19))
    heat[1] = 0
    first, second = agreed_points(views, heat, 0, 0.02)
    assert len(first) == len(second) == 0
