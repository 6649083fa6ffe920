import cv2
import numpy as np
import pytest

from superpoint_rknn.evaluate.metrics import inside, warp
from superpoint_rknn.evaluate.pairs import (
    SCENE_SIZE,
    VIEW_SIZE,
    Scene,
    change_light,
    first_view,
    make_pair,
    random_quad,
    resize_and_crop,
    stretched_pair,
)

CENTRE = np.array([479.5, 299.5])


@pytest.fixture(scope='module')
def spots():
    """A dark scene with bright spots, and their positions."""
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(20, 950, 60), np.arange(20, 590, 60)))
    image = np.zeros(SCENE_SIZE, np.float32)
    image[y, x] = 1
    image = cv2.GaussianBlur(image, (0, 0), 3)
    return Scene('spots', 5, np.rint(255 * image / image.max()).astype(np.uint8)), (x, y)


def centroid(image, x, y):
    """Centroid of the bright spot around a position."""
    left, top = round(x) - 9, round(y) - 9
    patch = image[top : top + 19, left : left + 19].astype(float)
    patch -= np.median(patch)
    patch[patch < 0.3 * patch.max()] = 0
    rows, cols = np.indices(patch.shape)
    return left + (cols * patch).sum() / patch.sum(), top + (rows * patch).sum() / patch.sum()


@pytest.mark.parametrize('seed', range(4))
def test_the_homography_maps_the_first_view_to_the_second(spots, seed):
    scene, (x, y) = spots
    pair = make_pair(scene, seed)
    assert pair.first.shape == pair.second.shape == VIEW_SIZE
    here = np.stack([x - 160, y - 100], axis=1)
    there = warp(pair.homography, here)
    size = (VIEW_SIZE[0] - 24, VIEW_SIZE[1] - 24)
    shown = inside(there - 12, size)
    assert shown.sum() > 40
    found = np.array([centroid(pair.second, *place) for place in there[shown]])
    offset = found - there[shown]
    assert np.abs(offset.mean(0)).max() < 0.05
    assert np.abs(offset).max() < 0.3
    shown = inside(here - 12, size)
    found = np.array([centroid(pair.first, *place) for place in here[shown]])
    assert np.abs(found - here[shown]).max() < 0.01


def test_all_pairs_of_the_protocol_show_a_convex_part_of_the_scene():
    for number in range(24):
        for seed in range(13):
            quad = random_quad(np.random.default_rng([seed, number]))
            assert cv2.isContourConvex(quad)
            assert cv2.contourArea(quad, oriented=True) > 0.4 * 640 * 400  # never mirrored
            assert quad.min() >= -0.5
            assert (quad <= (959.5, 599.5)).all()
            # All corners may move in one direction, by at most 20 px and 50 px.
            assert np.abs(quad.mean(0) - CENTRE).max() < 70


def test_a_pair_depends_only_on_scene_and_seed(spots):
    scene = spots[0]
    once, again = make_pair(scene, 3), make_pair(scene, 3)
    np.testing.assert_array_equal(once.second, again.second)
    np.testing.assert_array_equal(once.homography, again.homography)
    for other in (make_pair(scene, 4), make_pair(Scene('other', 6, scene.image), 3)):
        assert not np.allclose(other.homography, once.homography)
        np.testing.assert_array_equal(other.first, once.first)


def test_the_first_view_is_the_middle():
    scene = np.zeros(SCENE_SIZE, np.uint8)
    scene[100:500, 160:800] = 1
    view = first_view(scene)
    assert view.shape == VIEW_SIZE
    assert view.all()
    assert view.flags.c_contiguous


@pytest.mark.parametrize('size', [(600, 960), (1200, 1920), (100, 1000), (1000, 100), (1, 1)])
def test_a_resized_picture_covers_the_scene(size):
    image = np.full(size, 77, np.uint8)
    scene = resize_and_crop(image)
    assert scene.shape == SCENE_SIZE
    assert (scene == 77).all()


def test_pictures_are_cropped_to_their_middle():
    image = np.zeros((600, 1160), np.uint8)
    image[:, 100:1060] = 9
    assert (resize_and_crop(image) == 9).all()


def test_light_changes_within_its_limits():
    grey = np.full((200, 200), 128, np.uint8)
    means = []
    for seed in range(200):
        changed = change_light(grey, np.random.default_rng(seed))
        assert changed.std() < 255 * 0.03 * 1.05
        means.append(changed.mean() / 255)
    level = 128 / 255
    assert min(means) > level**1.6 * 0.7 - 0.05
    assert max(means) < level**0.6 * 1.1 + 0.1
    assert np.std(means) > 0.05


def test_the_homography_of_stretched_images():
    rng = np.random.default_rng(0)
    first = cv2.GaussianBlur(rng.integers(0, 256, (640, 800)).astype(np.uint8), (0, 0), 8)
    second = cv2.resize(first, (400, 320), interpolation=cv2.INTER_AREA)
    halving = np.array([[0.5, 0, -0.25], [0, 0.5, -0.25], [0, 0, 1]])  # (x + 0.5) / 2 - 0.5
    pair = stretched_pair(first, second, halving)
    np.testing.assert_allclose(pair.homography, np.eye(3), atol=1e-12)
    assert pair.first.shape == pair.second.shape == VIEW_SIZE
    shift, _ = cv2.phaseCorrelate(pair.first.astype(float), pair.second.astype(float))
    assert np.abs(shift).max() < 0.05
