"""Preintegration of IMU samples, on motions with a known end."""

import gtsam
import numpy as np
import pytest

from superpoint_rknn.vio.preintegration import ImuSamples
from superpoint_rknn.vio.settings import EstimatorSettings

NO_BIAS = gtsam.imuBias.ConstantBias()
UP = np.array([0, 0, 9.81])


def samples(acc, gyro=(0, 0, 0), seconds=2.0, rate=200):
    imu = ImuSamples(EstimatorSettings())
    for number in range(round(seconds * rate) + 1):
        imu.add(number / rate, np.array(gyro), np.array(acc))
    return imu


def test_rest_stays_in_place():
    moved = samples(UP).integrate(0.0, 1.0, NO_BIAS).predict(gtsam.NavState(), NO_BIAS)

    np.testing.assert_allclose(moved.position(), 0, atol=1e-9)
    np.testing.assert_allclose(moved.velocity(), 0, atol=1e-9)


def test_constant_acceleration():
    """1 m/s^2 for 2 s: 2 m, 2 m/s."""
    moved = samples([1, 0, 9.81]).integrate(0.0, 2.0, NO_BIAS)
    end = moved.predict(gtsam.NavState(), NO_BIAS)

    np.testing.assert_allclose(end.position(), [2, 0, 0], atol=1e-6)
    np.testing.assert_allclose(end.velocity(), [2, 0, 0], atol=1e-6)


def test_circle():
    """Once around in 2 s, radius 1 m: centripetal acceleration pi^2 to the left, speed pi."""
    imu = samples([0, np.pi**2, 9.81], gyro=(0, 0, np.pi))
    start = gtsam.NavState(gtsam.Pose3(), np.array([np.pi, 0, 0]))

    half = imu.integrate(0.0, 1.0, NO_BIAS).predict(start, NO_BIAS)
    full = imu.integrate(0.0, 2.0, NO_BIAS).predict(start, NO_BIAS)

    # Without the acceleration turned to the middle of each step, the error is 25 mm.
    np.testing.assert_allclose(half.position(), [0, 2, 0], atol=1e-3)
    np.testing.assert_allclose(full.position(), 0, atol=1e-3)


def test_interpolates_between_samples():
    imu = ImuSamples(EstimatorSettings())
    for time, acc in ((0.0, 0.0), (0.1, 1.0)):
        imu.add(time, np.zeros(3), np.array([acc, 0, 0]))

    times, rows = imu.between(0.025, 0.05)

    np.testing.assert_allclose(times, [0.025, 0.05])
    np.testing.assert_allclose(rows[:, 3], [0.25, 0.5])


def test_ignores_old_and_invalid_samples():
    imu = ImuSamples(EstimatorSettings())
    imu.add(1.0, np.zeros(3), np.ones(3))
    imu.add(0.9, np.zeros(3), np.full(3, 5.0))
    imu.add(1.05, np.zeros(3), np.full(3, np.nan))
    imu.add(1.1, np.zeros(3), np.ones(3))

    times, rows = imu.between(1.0, 1.1)

    np.testing.assert_allclose(times, [1.0, 1.1])
    np.testing.assert_allclose(rows[:, 3:], 1)


@pytest.mark.parametrize(
    ('start', 'end', 'expected'),
    [
        (0.5, 1.0, True),
        (1.9, 2.05, True),
        (1.9, 2.5, False),
        (-1.0, 1.0, False),
        (3.0, 3.0, False),
    ],
)
def test_covers(start, end, expected):
    assert samples(UP).covers(start, end) is expected


def test_no_samples_cover_nothing():
    assert not ImuSamples(EstimatorSettings()).covers(1.0, 1.0)
