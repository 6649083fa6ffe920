"""The closed-form start on exact data: a body that turns and accelerates past known points."""

import numpy as np
import pytest
from motion import BODY_FROM_CAMERA, Motion, cloud, view, weaving

from superpoint_rknn.vio.alignment import Motion as ImuMotion
from superpoint_rknn.vio.alignment import Observations, align

GRAVITY, SIGMA = 9.81, 0.7 / 400
TIMES = np.arange(0, 1.5, 0.1)


@pytest.fixture
def motion():
    return Motion(weaving, lambda t: 0.4 * t)


@pytest.fixture
def observations(motion):
    points, seen = cloud(), {}
    for number, time in enumerate(TIMES):
        for index, direction in zip(*view(points, motion, time), strict=True):
            seen.setdefault(index, []).append((number, direction))
    tracks = [views for _, views in sorted(seen.items()) if len(views) >= 8][:50]
    rows = [(n, *view) for n, views in enumerate(tracks) for view in views]
    return Observations(*(np.array(column) for column in zip(*rows, strict=True)))


def imu_motion(motion, gyro_error=0.0):
    """What the IMU measures: without gravity and initial velocity, in the first body frame."""
    start, first = motion.position(0.0), motion.rotation(0.0)
    velocity, gravity = motion.velocity(0.0), np.array([0, 0, -GRAVITY])
    rotations, positions, velocities = [], [], []
    for t in TIMES:
        c, s = np.cos(gyro_error * t), np.sin(gyro_error * t)
        drift = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        rotations.append(first.T @ motion.rotation(t) @ drift)
        moved = motion.position(t) - start - velocity * t - gravity * t**2 / 2
        positions.append(first.T @ moved)
        velocities.append(first.T @ (motion.velocity(t) - velocity - gravity * t))
    return ImuMotion(TIMES, *(np.array(x) for x in (rotations, positions, velocities)))


def test_finds_velocity_and_gravity(motion, observations):
    _, found = align(observations, lambda _: imu_motion(motion), BODY_FROM_CAMERA, GRAVITY, SIGMA)

    np.testing.assert_allclose(found.velocity, motion.velocity(0.0), atol=1e-3)
    np.testing.assert_allclose(found.gravity, [0, 0, -GRAVITY], atol=1e-3)
    assert np.abs(found.residuals).max() < 1e-5


def test_finds_the_gyroscope_bias(motion, observations):
    """With a gyroscope that turns 0.02 rad/s too fast about z."""
    bias, found = align(
        observations,
        lambda bias: imu_motion(motion, 0.02 - bias[2]),
        *(BODY_FROM_CAMERA, GRAVITY, SIGMA),
    )

    assert bias[2] == pytest.approx(0.02, abs=1e-4)
    np.testing.assert_allclose(found.velocity, motion.velocity(0.0), atol=5e-3)


def test_ignores_outliers(motion, observations):
    rng = np.random.default_rng(3)
    wrong = rng.choice(len(observations.images), len(observations.images) // 20, replace=False)
    observations.directions[wrong] += 0.1

    _, found = align(observations, lambda _: imu_motion(motion), BODY_FROM_CAMERA, GRAVITY, SIGMA)

    np.testing.assert_allclose(found.velocity, motion.velocity(0.0), atol=0.1)
    np.testing.assert_allclose(found.gravity, [0, 0, -GRAVITY], atol=0.3)
