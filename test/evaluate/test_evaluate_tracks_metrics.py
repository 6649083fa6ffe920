import cv2
import numpy as np
import pytest

from superpoint_rknn.evaluate.tracks.metrics import (
    TrackedPoints,
    common_points,
    distances_from_points,
    epipolar_distances,
    estimate_motion,
    relative_motion,
    rotation_angle,
    track_lengths,
)

K = np.array([[500, 0, 320], [0, 500, 240], [0, 0, 1.0]])


def seen(*ids):
    return TrackedPoints(np.array(ids), np.float32([(i, 10 * i) for i in ids]).reshape(-1, 2))


def rigid(rotation=(0, 0, 0), translation=(0, 0, 0)):
    result = np.eye(4)
    result[:3, :3], _ = cv2.Rodrigues(np.array(rotation, float))
    result[:3, 3] = translation
    return result


def projected(world, there):
    """Projections, (N, 2) px, of world points, (N, 3), for a pose."""
    rays = (world @ there[:3, :3].T + there[:3, 3]) @ K.T
    return (rays[:, :2] / rays[:, 2:]).astype(np.float32)


def world(points=60):
    return np.random.default_rng(0).uniform((-3, -2, 4), (3, 2, 9), (points, 3))


def test_length_is_the_number_of_images_of_a_track():
    history = [seen(0, 1), seen(0, 2), seen(2), seen(0, 2)]  # 0 is missing in one image
    assert track_lengths(history).tolist() == [3, 1, 3]
    assert track_lengths([]).tolist() == []


def test_common_points_are_paired_by_id():
    before, now = common_points(
        seen(5, 1, 3), TrackedPoints(np.array([3, 4, 5]), np.float32([(0, 3)] * 3))
    )
    assert before.tolist() == [[3, 30], [5, 50]]
    assert now.tolist() == [[0, 3], [0, 3]]


def test_epipolar_lines_of_sideways_motion_are_horizontal():
    before = np.float32([(100, 50), (400, 300)])
    now = before + np.float32([(-30, 0), (-10, 2.5)])
    distances = epipolar_distances(before, now, rigid(translation=(-1, 0, 0)), K)
    assert distances == pytest.approx([0, 2.5], abs=1e-6)


def test_epipolar_lines_of_forward_motion_pass_through_the_centre():
    before = np.float32([(420, 240), (320, 340)])  # right of the centre, and below it
    now = np.float32([(450, 243), (316, 400)])
    distances = epipolar_distances(before, now, rigid(translation=(0, 0, -1)), K)
    assert distances == pytest.approx([3, 4], abs=1e-6)


def test_rigid_points_are_on_their_epipolar_lines():
    first, second = rigid((0.1, 0.2, 0), (1, 2, 3)), rigid((0, 0.3, 0.1), (0.5, 2, 3.2))
    points = world()
    moved = relative_motion(first, second)
    places = projected(points, first), projected(points, second)
    assert epipolar_distances(*places, moved, K).max() < 1e-3
    assert epipolar_distances(*places, relative_motion(second, first), K).max() > 10


def test_the_angle_between_rotations():
    turns = [rigid((0, 0, np.deg2rad(angle)))[:3, :3] for angle in (10, 40)]
    assert rotation_angle(*turns) == pytest.approx(30)
    assert rotation_angle(turns[0], turns[0]) == pytest.approx(0, abs=1e-6)


def test_the_estimated_motion_is_that_of_most_points():
    moved = rigid((0.02, -0.05, 0.01), (0.4, 0.1, -0.2))
    before, now = projected(world(), np.eye(4)), projected(world(), moved)
    now[:15] += np.float32((7, 40))  # a quarter moves independently
    estimate = estimate_motion(before, now, K)
    assert estimate.inliers == pytest.approx(0.75, abs=0.04)
    assert rotation_angle(estimate.rotation, moved[:3, :3]) < 0.1
    without_calibration = estimate_motion(before, now, None)
    assert without_calibration.inliers == pytest.approx(0.75, abs=0.04)
    assert without_calibration.rotation is None


def test_too_few_points_give_no_motion():
    few = projected(world(7), np.eye(4))
    assert estimate_motion(few, few, K).inliers == 0
    assert estimate_motion(few, few, K).rotation is None


def sideways(images):
    """Poses of a camera that moves to the right by 0.1 per image."""
    return [rigid(translation=(-0.1 * number, 0, 0)) for number in range(images)]


def observations(points, poses, ids):
    """Observations of points, (N, 3), by tracks with these ids in each image."""
    return [TrackedPoints(np.array(ids), projected(points, there)) for there in poses]


def test_distances_from_the_points_of_tracks():
    poses = sideways(6)
    history = observations(world(3), poses, [7, 8, 9])
    assert distances_from_points(history, poses, K).max() < 0.01
    history[2].points[1, 1] += 5  # track 8, once
    history[4].points[2] += (3, 4)  # track 9, twice
    history[5].points[2] += (6, 8)
    by_track = distances_from_points(history, poses, K).reshape(3, 6)  # in the order of ids
    assert by_track[0] == pytest.approx([0] * 6, abs=0.01)
    assert by_track[1] == pytest.approx([0, 0, 5, 0, 0, 0], abs=0.3)
    assert by_track[2] == pytest.approx([0, 0, 0, 0, 5, 10], abs=0.6)
    assert np.mean(by_track > 3) == pytest.approx(3 / 18)


def test_tracks_whose_point_is_unknown_have_no_distance():
    poses = sideways(3)
    assert not len(distances_from_points(observations(world(2), poses, [1, 2]), poses, K))
    turning = [rigid((0, 0.02 * number, 0)) for number in range(6)]  # no parallax
    history = observations(world(2), turning, [1, 2])
    assert not len(distances_from_points(history, turning, K))
    assert not len(
        distances_from_points([TrackedPoints(np.zeros(0, int), np.zeros((0, 2)))], [np.eye(4)], K)
    )
