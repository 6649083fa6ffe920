import numpy as np
import pytest

from superpoint_rknn.evaluate.metrics import (
    Features,
    corner_error,
    estimate_homography,
    inside,
    measure,
    mutual_neighbours,
    repeatability,
    warp,
)

SIZE = (400, 640)
IDENTITY = np.eye(3)


def translation(x, y):
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], float)


def some_features(count=60, seed=0):
    rng = np.random.default_rng(seed)
    points = rng.uniform((20, 20), (600, 380), (count, 2)).astype(np.float32)
    descriptors = rng.normal(size=(count, 8)).astype(np.float32)
    return Features(points, descriptors)


def test_identical_images():
    features = some_features()
    measured = measure(features, features, IDENTITY, SIZE)
    assert measured['localization_error'] == 0
    assert measured['points'] == measured['matches'] == 60
    for metric in ('rep3', 'mma3', 'h1', 'h3', 'h5'):
        assert measured[metric] == 1
    assert measured['auc1'] > 0.999


def test_a_known_translation():
    first = some_features()
    moved = Features(first.points + np.float32((7, -5)), first.descriptors)
    measured = measure(first, moved, translation(7, -5), SIZE)
    assert (measured['rep3'], measured['mma3'], measured['h1']) == (1, 1, 1)
    assert measured['localization_error'] < 1e-4
    unmoved = measure(first, moved, IDENTITY, SIZE)
    assert unmoved['mma3'] == 0  # sqrt(7^2 + 5^2) > 3
    assert (unmoved['h3'], unmoved['h5']) == (0, 0)


def test_a_homography_that_is_off_by_two_pixels():
    first = some_features()
    moved = Features(first.points + np.float32((2, 0)), first.descriptors)
    measured = measure(first, moved, IDENTITY, SIZE)
    assert (measured['h1'], measured['h3'], measured['h5']) == (0, 1, 1)
    assert measured['auc1'] == 0
    assert measured['auc3'] == pytest.approx(1 / 3, abs=1e-3)
    assert measured['auc5'] == pytest.approx(3 / 5, abs=1e-3)
    assert measured['localization_error'] < 2.001


def test_repeatability_counts_points_visible_in_both_images_in_both_directions():
    first = np.array([[100, 100], [200, 100], [635, 100]])
    second = np.array([[110, 100], [110, 101], [211, 103], [300, 300], [4, 50]])
    # Shift of ten pixels to the right: the third point leaves the image, the fifth enters it.
    # There: (110, 100) at 0, (210, 100) at sqrt(10). Back: 0, 1, sqrt(10), far.
    repeated, error = repeatability(first, second, translation(10, 0), SIZE)
    assert repeated == pytest.approx((1 + 2) / (2 + 4))
    assert error == pytest.approx((0 + 0 + 1) / 3)


def test_a_distance_of_exactly_three_pixels_counts():
    here, there = np.array([[50.0, 60.0]]), np.array([[53.0, 60.0]])
    assert repeatability(here, there, IDENTITY, SIZE) == (1, 3)
    assert repeatability(here, there + 0.001, IDENTITY, SIZE)[0] == 0


def test_an_image_ends_half_a_pixel_beyond_the_last_centre():
    points = np.array([[-0.5, -0.5], [639.4, 399.4], [-0.6, 5], [639.5, 5], [5, 399.5]])
    assert inside(points, SIZE).tolist() == [True, True, False, False, False]


def test_corner_error():
    assert corner_error(translation(3, 4), IDENTITY, SIZE) == pytest.approx(5)
    stretched = np.diag([1.01, 1.0, 1.0])  # moves the two right corners by 6.39, the others by 0
    assert corner_error(stretched, IDENTITY, SIZE) == pytest.approx(6.39 / 2)
    assert corner_error(None, IDENTITY, SIZE) == float('inf')


def test_warp():
    homography = np.array([[2, 0, 1], [0, 1, 0], [0.5, 0, 1]])
    np.testing.assert_allclose(warp(homography, np.array([[2, 4]])), [[2.5, 2]])


def test_only_mutual_neighbours_are_returned():
    first = np.array([[0, 0], [1, 0], [5, 0]], np.float32)
    second = np.array([[0.9, 0], [5, 1]], np.float32)
    i, j = mutual_neighbours(first, second)  # the first row's neighbour prefers the second row
    assert (i.tolist(), j.tolist()) == ([1, 2], [0, 1])


def test_binary_descriptors_are_compared_by_hamming_distance():
    first = np.array([[0b1000_0000]], np.uint8)
    second = np.array([[0b0111_1111], [0b0000_0000]], np.uint8)  # 8 bits away, and 1
    assert mutual_neighbours(first, second)[1].tolist() == [1]


def test_matching_accuracy_is_the_share_of_correct_matches():
    first = some_features()
    points = first.points.copy()
    points[:15] += 100
    measured = measure(first, Features(points, first.descriptors), IDENTITY, SIZE)
    assert measured['mma3'] == 0.75
    assert measured['h1'] == 1  # RANSAC rejects the wrong ones


@pytest.mark.parametrize('count', [0, 1, 3])
def test_too_few_points(count):
    few = some_features(count)
    measured = measure(few, few, IDENTITY, SIZE)
    assert (measured['h5'], measured['auc5']) == (0, 0)
    assert measured['rep3'] == measured['mma3'] == (1 if count else 0)
    assert np.isnan(measured['localization_error']) == (count == 0)
    none = measure(few, some_features(0), IDENTITY, SIZE)
    assert (none['rep3'], none['mma3'], none['matches']) == (0, 0, 0)


def test_ransac_is_deterministic():
    first, second = some_features(seed=1), some_features(seed=2)
    there = np.where(np.arange(60)[:, None] < 30, first.points + 3, second.points)
    once = estimate_homography(first.points, there)
    for _ in range(3):
        np.testing.assert_array_equal(estimate_homography(first.points, there), once)
