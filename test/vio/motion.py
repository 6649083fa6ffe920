"""Motions that a hand can check: IMU samples and tracks without errors, unless asked for."""

from dataclasses import dataclass

import numpy as np

GRAVITY = 9.81
IMU_RATE, IMAGE_RATE = 200, 10  # [Hz]
STEP = 1e-4  # [s], of numeric derivatives
# The camera looks along the body's x axis: its x is right, its y is down.
BODY_FROM_CAMERA = np.array([[0, 0, 1, 0.05], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])


@dataclass
class Motion:
    """position: time -> (3,) [m]. yaw: time -> [rad], of a body that stays upright."""

    position: object
    yaw: object = staticmethod(lambda time: 0.0)

    def rotation(self, time):
        c, s = np.cos(self.yaw(time)), np.sin(self.yaw(time))
        return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])

    def velocity(self, time):
        return (self.position(time + STEP) - self.position(time - STEP)) / (2 * STEP)

    def imu(self, time):
        """Gyro and acceleration at a time, (3,) each."""
        rate = (self.yaw(time + STEP) - self.yaw(time - STEP)) / (2 * STEP)
        before, now, after = (self.position(time + s) for s in (-STEP, 0, STEP))
        acc = (before - 2 * now + after) / STEP**2 + [0, 0, GRAVITY]
        return np.array([0, 0, rate]), self.rotation(time).T @ acc


def still(_):
    return np.zeros(3)


def circle(time, radius=1.0, seconds=6.0):
    """Once around in `seconds`, beginning at the origin, along y."""
    angle = 2 * np.pi * time / seconds
    return radius * np.array([1 - np.cos(angle), np.sin(angle), 0])


def weaving(time):
    """Accelerates in all directions, so that all biases can be observed."""
    return np.array(
        [0.6 * np.sin(1.1 * time), 0.5 * np.sin(1.7 * time + 1), 0.3 * np.sin(2.3 * time + 2)]
    )


def cloud(count=400, seed=0):
    """Points on the walls of a room of 12 x 12 x 5 m, (N, 3)."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-1, 1, (count, 3)) * [6, 6, 2.5]
    wall = rng.integers(0, 2, count)
    points[np.arange(count), wall] = 6 * np.sign(points[np.arange(count), wall])
    return points


def view(points, motion, time, width=0.8, height=0.5):
    """Indices and directions of the points that the camera sees at a time."""
    rotation = motion.rotation(time) @ BODY_FROM_CAMERA[:3, :3]
    centre = motion.rotation(time) @ BODY_FROM_CAMERA[:3, 3] + motion.position(time)
    seen = (points - centre) @ rotation
    with np.errstate(divide='ignore', invalid='ignore'):
        directions = seen[:, :2] / seen[:, 2:]
    ok = (seen[:, 2] > 0.2) & (np.abs(directions) < [width, height]).all(axis=1)
    return np.flatnonzero(ok), directions[ok]


def run(estimator, motion, seconds, gyro_bias=0.0, acc_bias=0.0, noise=0.0, slide=0.0, start=0.0):
    """
    Feed an estimator; return its states.

    noise: standard deviation of the directions. slide: every eighth track leaves its point by this
    much per image.
    """
    rng = np.random.default_rng(1)
    points, states = cloud(), []
    per_image = IMU_RATE // IMAGE_RATE
    for number in range(round(seconds * IMU_RATE) + 1):
        time = start + number / IMU_RATE
        gyro, acc = motion.imu(time)
        estimator.add_imu(time, gyro + gyro_bias, acc + acc_bias)
        if number % per_image == 0:
            ids, directions = view(points, motion, time)
            directions = directions + rng.normal(0, noise, directions.shape)
            directions[ids % 8 == 0] += [slide * number / per_image, 0]
            state = estimator.add_tracks(time, ids, directions)
            if state is not None:
                states.append(state)
    return states
