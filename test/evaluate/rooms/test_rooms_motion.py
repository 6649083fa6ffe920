"""Paths and IMU of the rendered sequences, against motions computed by hand."""

import numpy as np
import pytest

from superpoint_rknn.evaluate.rooms import imu, paths
from superpoint_rknn.evaluate.rooms.camera import BODY_FROM_CAMERA
from superpoint_rknn.evaluate.rooms.paths import Path, sines, turning
from superpoint_rknn.evaluate.rooms.room import PLANES
from superpoint_rknn.evaluate.rooms.sequences import DESCRIPTIONS

STILL = sines([], [], [])
NAMED = [paths.EASY, paths.FAST, paths.TUNING, paths.LOOP, paths.REST]


def circle(radius, rate):
    """Path on a circle, looking along it: x forward."""
    position = sines([(radius, rate, np.pi / 2)], [(radius, rate, 0)], [])
    return Path(position, turning(lambda times: np.tile([0, 0, np.pi / 2], (len(times), 1)), rate))


def test_a_body_at_rest_measures_gravity_upwards():
    samples = imu.measure(Path(STILL, STILL), 0.5, None)
    np.testing.assert_allclose(samples.accelerometer, np.tile([0, 0, 9.81], (141, 1)), atol=1e-9)
    np.testing.assert_allclose(samples.gyro, 0, atol=1e-9)
    assert samples.times[[0, -1]] == pytest.approx([-0.1, 0.6])


def test_a_body_on_its_side_measures_gravity_along_y():
    """Rolled by 90 degrees about x, the body's y axis points up."""
    rolled = Path(STILL, lambda times: np.tile([np.pi / 2, 0, 0], (len(times), 1)))
    samples = imu.measure(rolled, 0.1, None)
    np.testing.assert_allclose(samples.accelerometer[0], [0, 9.81, 0], atol=1e-9)


def test_a_circle_is_measured_as_centripetal_acceleration_and_constant_rate():
    """Radius 2 m at 1.5 rad/s to the left: 4.5 m/s^2 to the left, 1.5 rad/s about z."""
    samples = imu.measure(circle(2, 1.5), 1.0, None)
    count = len(samples.times)
    np.testing.assert_allclose(
        samples.accelerometer, np.tile([0, 4.5, 9.81], (count, 1)), atol=1e-5
    )
    np.testing.assert_allclose(samples.gyro, np.tile([0, 0, 1.5], (count, 1)), atol=1e-6)


def test_positive_pitch_looks_down():
    turned = Path(STILL, lambda times: np.tile([0, 0.1, 0], (len(times), 1)))
    forward = turned.rotations(np.zeros(1))[0] @ [1, 0, 0]
    np.testing.assert_allclose(forward, [np.cos(0.1), 0, -np.sin(0.1)])


@pytest.mark.parametrize('path', NAMED)
def test_measurements_integrate_to_the_path(path):
    """Dead reckoning from the true start without noise stays within 2 cm over 3 s."""
    samples = imu.measure(path, 3.0, None)
    start = round(imu.MARGIN * imu.RATE)
    step = 1 / imu.RATE
    times = samples.times[start : start + 3 * imu.RATE + 1]
    pose = path.poses(times[:1])[0]
    rotation, place = pose[:3, :3], pose[:3, 3]
    velocity = np.diff(path.position(np.array([-1e-4, 1e-4])), axis=0)[0] / 2e-4
    for number in range(start, start + 3 * imu.RATE):
        gyro, force = (
            (values[number] + values[number + 1]) / 2
            for values in (samples.gyro, samples.accelerometer)
        )
        middle = rotation @ exponential(gyro * step / 2)
        acceleration = middle @ force - [0, 0, imu.GRAVITY]
        place = place + velocity * step + acceleration * step**2 / 2
        velocity = velocity + acceleration * step
        rotation = rotation @ exponential(gyro * step)
    truth = path.poses(times[-1:])[0]
    assert np.linalg.norm(place - truth[:3, 3]) < 0.02
    np.testing.assert_allclose(rotation, truth[:3, :3], atol=1e-3)


def exponential(vector):
    """Rotation by a vector, to second order and normalised: enough for small steps."""
    x, y, z = vector
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    u, _, v = np.linalg.svd(np.eye(3) + skew + skew @ skew / 2)
    return u @ v


def test_the_loop_returns_to_its_start_with_the_same_speed():
    times = np.array([0, 0.01]) + np.array([[0], [paths.LOOP_SECONDS]])
    first, again = (paths.LOOP.poses(pair) for pair in times)
    np.testing.assert_allclose(first, again, atol=1e-9)
    away = paths.LOOP.poses(np.array([paths.LOOP_SECONDS / 4]))
    assert np.linalg.norm(away[0, :3, 3] - first[0, :3, 3]) > 0.3


def test_the_camera_keeps_away_from_all_surfaces():
    for description in DESCRIPTIONS.values():
        poses = description.path.poses(np.arange(0, 20, 0.05)) @ BODY_FROM_CAMERA
        for plane in PLANES:
            beside = np.maximum(np.abs(poses[:, :3, 3] - plane.middle) - plane.half, 0)
            assert np.linalg.norm(beside, axis=1).min() > 0.5


def test_rest_is_at_rest_and_then_moves_as_easy():
    still = np.linspace(-0.1, paths.REST_SECONDS, 20)
    poses = paths.REST.poses(still)
    np.testing.assert_array_equal(poses, np.tile(poses[0], (20, 1, 1)))
    # The soft start takes 1.5 s and covers the first 0.75 s of the path.
    later = paths.REST.poses(np.array([3.0, 10.0]))
    np.testing.assert_allclose(later, paths.EASY.poses(np.array([0.75, 7.75])), atol=1e-12)


def test_noise_has_the_densities_of_the_sensor_and_depends_on_the_seed():
    still = Path(STILL, STILL)
    clean, noisy = imu.measure(still, 20, None), imu.measure(still, 20, 3)
    errors = noisy.gyro - clean.gyro
    # White noise of density d at rate r has a standard deviation of d sqrt(r).
    assert np.diff(errors, axis=0).std() / np.sqrt(2) == pytest.approx(1.7e-4 * 200**0.5, rel=0.05)
    assert np.abs(errors.mean(0)).max() < 4 * imu.GYRO_BIAS
    again, other = imu.measure(still, 20, 3), imu.measure(still, 20, 4)
    np.testing.assert_array_equal(again.gyro, noisy.gyro)
    assert not np.array_equal(other.gyro, noisy.gyro)
    shorter = imu.measure(still, 5, 3)
    np.testing.assert_array_equal(noisy.accelerometer[: len(shorter.times)], shorter.accelerometer)
