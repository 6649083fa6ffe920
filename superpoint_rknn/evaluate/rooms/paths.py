"""
Smooth paths of a body with six degrees of freedom: sums of sines.

World: z up, origin in the middle of the room. Body: x forward, y left, z up. Angles are roll,
pitch and yaw; the rotation from body to world is Rz(yaw) Ry(pitch) Rx(roll).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

Times = np.ndarray  # (N,) [s] since the first image
Sine = tuple[float, float, float]  # amplitude, frequency [rad/s], phase [rad]
Curve = Callable[[Times], np.ndarray]  # times -> (N, 3)
STEP = 1e-3  # [s] of the numerical derivatives; their error is below 1e-5 of the values

LOOP_SECONDS = 19.0
REST_SECONDS, SOFT_START_SECONDS = 1.5, 1.5


@dataclass(frozen=True)
class Path:
    """
    Path of a body.

    position: of its origin in the world [m]. angles: roll, pitch and yaw [rad].
    """

    position: Curve
    angles: Curve

    def rotations(self, times: Times) -> np.ndarray:
        """Return the rotations from body to world, (N, 3, 3)."""
        roll, pitch, yaw = self.angles(times).T
        return _turn(yaw, 2) @ _turn(pitch, 1) @ _turn(roll, 0)

    def accelerations(self, times: Times) -> np.ndarray:
        """Return the second derivatives of the position in the world, (N, 3) [m/s^2]."""
        before, now, after = (self.position(times + shift) for shift in (-STEP, 0, STEP))
        return (before - 2 * now + after) / STEP**2

    def angular_rates(self, times: Times) -> np.ndarray:
        """Return the angular velocities in the body frame, (N, 3) [rad/s]."""
        before, after = (self.rotations(times + shift) for shift in (-STEP / 2, STEP / 2))
        steps = before.transpose(0, 2, 1) @ after
        return np.array([cv2.Rodrigues(step)[0][:, 0] for step in steps]) / STEP

    def poses(self, times: Times) -> np.ndarray:
        """Return the transforms from body to world, (N, 4, 4)."""
        result = np.tile(np.eye(4), (len(times), 1, 1))
        result[:, :3, :3], result[:, :3, 3] = self.rotations(times), self.position(times)
        return result


def sines(*axes: list[Sine]) -> Curve:
    """Return a curve of three axes, each a sum of sines."""

    def value(waves: list[Sine], times: Times) -> np.ndarray:
        return sum((a * np.sin(w * times + phase) for a, w, phase in waves), np.zeros(len(times)))

    return lambda times: np.stack([value(waves, times) for waves in axes], axis=1)


def turning(curve: Curve, rate: float) -> Curve:
    """Add a constant yaw rate [rad/s] to a curve of angles."""
    return lambda times: curve(times) + np.outer(times, [0, 0, rate])


def after_rest(path: Path) -> Path:
    """Return a path that is at rest for REST_SECONDS and then starts without a jerk."""

    def warped(times: Times) -> np.ndarray:
        """Time along the path; its derivative rises smoothly from 0 to 1."""
        share = np.clip((times - REST_SECONDS) / SOFT_START_SECONDS, 0, 1)
        moving = np.maximum(times - REST_SECONDS - SOFT_START_SECONDS, 0)
        return SOFT_START_SECONDS * (share**3 - share**4 / 2) + moving

    return replace(
        path,
        position=lambda times: path.position(warped(times)),
        angles=lambda times: path.angles(warped(times)),
    )


def _loop() -> Path:
    """Return to the start after LOOP_SECONDS: all frequencies are multiples of one, w."""
    w = 2 * np.pi / LOOP_SECONDS
    return Path(
        sines(
            [(1.5, w, 0), (0.12, 6 * w, 0)],
            [(1.1, 2 * w, 0.7), (0.10, 8 * w, 1)],
            [(0.45, 2 * w, 0), (0.08, 9 * w, 0)],
        ),
        turning(
            sines(
                [(0.07, 4 * w, 0), (0.02, 12 * w, 0)],
                [(0.09, 3 * w, 1), (0.02, 11 * w, 0)],
                [(0.5, 2 * w, 0)],
            ),
            w,
        ),
    )


EASY = Path(
    sines(
        [(1.5, 0.42, 0), (0.12, 2.1, 0)],
        [(1.1, 0.57, 0.7), (0.10, 2.6, 1)],
        [(0.45, 0.8, 0), (0.08, 3.1, 0)],
    ),
    turning(
        sines([(0.07, 1.3, 0), (0.02, 4.1, 0)], [(0.09, 1.1, 1), (0.02, 3.7, 0)], [(0.5, 0.6, 0)]),
        0.25,
    ),
)
FAST = Path(
    sines(
        [(1.5, 0.8, 0), (0.15, 2.9, 0)],
        [(1.1, 1.05, 0.7), (0.12, 3.3, 1)],
        [(0.5, 1.3, 0), (0.10, 4.1, 0)],
    ),
    turning(
        sines(
            [(0.18, 2.3, 0), (0.04, 6.1, 0)],
            [(0.20, 1.9, 1), (0.04, 5.7, 0)],
            [(1.0, 1.15, 0), (0.10, 4.3, 0)],
        ),
        0.35,
    ),
)
TUNING = Path(
    sines(
        [(1.4, 0.6, 2), (0.14, 2.4, 1)],
        [(1.2, 0.75, 0.2), (0.10, 3.0, 2)],
        [(0.5, 1.0, 1), (0.08, 3.6, 0)],
    ),
    turning(
        sines(
            [(0.12, 1.8, 1), (0.03, 5.1, 0)],
            [(0.14, 1.5, 2), (0.03, 4.6, 0)],
            [(0.8, 0.85, 1), (0.05, 3.9, 0)],
        ),
        -0.3,
    ),
)
LOOP = _loop()
REST = after_rest(EASY)


def _turn(angles: np.ndarray, axis: int) -> np.ndarray:
    """Return rotations about an axis, (N, 3, 3)."""
    i, j = (axis + 1) % 3, (axis + 2) % 3
    result = np.zeros((len(angles), 3, 3))
    result[:, axis, axis] = 1
    result[:, i, i] = result[:, j, j] = np.cos(angles)
    result[:, j, i] = np.sin(angles)
    result[:, i, j] = -np.sin(angles)
    return result
