"""Measurements of an IMU that moves along a path, with noise and bias."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from superpoint_rknn.evaluate.rooms.paths import Path

RATE = 200  # [Hz]
GRAVITY = 9.81  # [m/s^2]; the world's z axis points up
MARGIN = 0.1  # [s] of measurements before the first and after the last image

# Densities of the white noise and of the random walk of the biases, about those of an ADIS16448.
GYRO_NOISE = 1.7e-4  # [rad/s/sqrt(Hz)]
ACCELEROMETER_NOISE = 2.0e-3  # [m/s^2/sqrt(Hz)]
GYRO_WALK = 2e-5  # [rad/s^2/sqrt(Hz)]
ACCELEROMETER_WALK = 3e-4  # [m/s^3/sqrt(Hz)]
# Standard deviations of the biases at the start
GYRO_BIAS = 0.008  # [rad/s]
ACCELEROMETER_BIAS = 0.05  # [m/s^2]


@dataclass(frozen=True)
class ImuSamples:
    """Measurements in the body frame, one row each."""

    times: np.ndarray  # (N,) [s] since the first image
    gyro: np.ndarray  # (N, 3) angular velocity [rad/s]
    accelerometer: np.ndarray  # (N, 3) specific force [m/s^2]: gravity upwards if at rest


def measure(path: Path, seconds: float, seed: int | None) -> ImuSamples:
    """
    Measure a path from -MARGIN to `seconds` + MARGIN; seed: of noise and bias, None: without.

    The measurements of a shorter time are the first ones of a longer time.
    """
    count = round((seconds + 2 * MARGIN) * RATE) + 1
    times = np.arange(count) / RATE - MARGIN
    gyro = path.angular_rates(times)
    force = path.accelerations(times) + np.array([0, 0, GRAVITY])
    accelerometer = np.einsum('nji,nj->ni', path.rotations(times), force)
    if seed is not None:
        gyro += _errors(seed, 0, count, GYRO_BIAS, GYRO_NOISE, GYRO_WALK)
        accelerometer += _errors(
            seed, 1, count, ACCELEROMETER_BIAS, ACCELEROMETER_NOISE, ACCELEROMETER_WALK
        )
    return ImuSamples(times, gyro, accelerometer)


def _errors(
    seed: int, sensor: int, count: int, bias: float, noise: float, walk: float
) -> np.ndarray:
    """Bias and noise of a sensor, (count, 3)."""
    rng = np.random.default_rng([seed, sensor])
    start = rng.normal(0, bias, 3)
    normal = rng.normal(0, 1, (count, 2, 3))
    steps = normal[:, 0] * (walk / np.sqrt(RATE))
    return start + np.cumsum(steps, axis=0) + normal[:, 1] * (noise * np.sqrt(RATE))
