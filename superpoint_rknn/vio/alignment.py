"""
Velocity, gravity, gyroscope bias and landmarks from tracks and integrated IMU samples.

The positions of the body relative to the first image are known from the IMU up to its initial
velocity v and gravity g, in which they are linear: p(t) = p_imu(t) + v t + g t^2 / 2. Each
observation says that its landmark lies on a ray, so velocity, gravity and landmarks follow from a
linear least-squares problem (A. Martinelli, Closed-form solution of visual-inertial structure from
motion, IJCV 2014), here with |g| known. The gyroscope bias minimises its residual (J. Kaiser et
al., Simultaneous state initialization and gyroscope bias calibration, RA-L 2017).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

FIRST_PASSES, PASSES = 10, 3  # of the linear problem, with weights for outliers and depths
SPHERE_STEPS = 6  # of the gravity on its sphere
BIAS_STEPS = 4
BIAS_CHANGE = 1e-3  # [rad/s], for numeric derivatives
MAX_BIAS, MAX_BIAS_STEP = 0.1, 0.05  # [rad/s]
BIAS_TOLERANCE = 2e-4  # [rad/s]
MIN_DEPTH = 0.3  # [m], of a landmark, for its weight
OUTLIER = 3.0  # [standard deviations], where the weight is a half
REGULARISATION = 1e-9


@dataclass(frozen=True)
class Motion:
    """
    Motion of the body relative to the first image, without gravity and initial velocity.

    One row per image, in the frame of the body at the first image.
    """

    times: np.ndarray  # (N,), since the first image [s]
    rotations: np.ndarray  # (N, 3, 3)
    positions: np.ndarray  # (N, 3) [m]
    velocities: np.ndarray  # (N, 3) [m/s]


@dataclass(frozen=True)
class Observations:
    """Observations of landmarks, one row each, sorted by landmark."""

    landmarks: np.ndarray  # (M,) index of the landmark; each index from 0 on occurs
    images: np.ndarray  # (M,) index of the image
    directions: np.ndarray  # (M, 2) X / Z, Y / Z


@dataclass(frozen=True)
class Alignment:
    """Solution in the frame of the body at the first image."""

    residuals: np.ndarray  # of the rays, normalised
    weights: np.ndarray  # (M,) of the rays
    velocity: np.ndarray  # (3,), at the first image [m/s]
    gravity: np.ndarray  # (3,) [m/s^2], downwards
    points: np.ndarray  # (T, 3), landmarks [m]


def align(
    observations: Observations,
    motion_of: Callable[[np.ndarray], Motion],
    body_from_camera: np.ndarray,
    gravity: float,
    sigma: float,
) -> tuple[np.ndarray, Alignment]:
    """
    Estimate the gyroscope bias, (3,) [rad/s], and all that follows from it.

    motion_of: returns the motion for a gyroscope bias. body_from_camera: (4, 4). gravity: [m/s^2].
    sigma: standard deviation of directions. Raises np.linalg.LinAlgError if it is not determined.
    """

    def solve(bias: np.ndarray, weights: np.ndarray, passes: int) -> Alignment:
        rays = _Rays(observations, motion_of(bias), body_from_camera, weights)
        return _solve(rays, gravity, sigma, passes)

    bias = np.zeros(3)
    found = solve(bias, np.ones(len(observations.images)), FIRST_PASSES)
    for _ in range(BIAS_STEPS):  # Gauss-Newton
        changed = [
            solve(bias + change, found.weights, 1).residuals for change in BIAS_CHANGE * np.eye(3)
        ]
        jacobian = (np.stack(changed, axis=1) - found.residuals[:, None]) / BIAS_CHANGE
        size = np.abs(found.residuals)
        weighted = jacobian / (1 + size / (2 * np.median(size) + REGULARISATION))[:, None]
        normal = jacobian.T @ weighted + REGULARISATION * np.eye(3)
        step = -np.linalg.solve(normal, weighted.T @ found.residuals)
        limited = np.clip(step, -MAX_BIAS_STEP, MAX_BIAS_STEP)
        bias = np.clip(bias + limited, -MAX_BIAS, MAX_BIAS)
        found = solve(bias, found.weights, PASSES)
        if np.abs(step).max() < BIAS_TOLERANCE:
            break
    return bias, found


class _Rays:
    """
    Rays of all observations.

    With x = (velocity, gravity), the landmark L and the projector P_i on the plane across ray i,
    the residuals are P_i (L - centre_i - lever_i x).
    """

    def __init__(
        self,
        seen: Observations,
        motion: Motion,
        body_from_camera: np.ndarray,
        weights: np.ndarray,
    ):
        self.weights = weights
        # Over the whole motion, the measured acceleration is mostly that against gravity.
        self.down = -motion.velocities[-1] / np.linalg.norm(motion.velocities[-1])
        rotations = motion.rotations[seen.images]
        rays = np.column_stack([seen.directions, np.ones(len(seen.directions))])
        rays = np.einsum('nij,jk,nk->ni', rotations, body_from_camera[:3, :3], rays)
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        self._landmarks = seen.landmarks
        self._across = np.eye(3) - rays[:, :, None] * rays[:, None, :]
        self._centres = motion.positions[seen.images] + rotations @ body_from_camera[:3, 3]
        times = motion.times[seen.images, None, None]
        identity = np.broadcast_to(np.eye(3), rotations.shape)
        self._levers = np.concatenate([times * identity, times**2 / 2 * identity], axis=2)

    def eliminate(self) -> tuple[np.ndarray, np.ndarray]:
        """Normal equations of x without the landmarks: matrix (6, 6) and right side (6,)."""
        weighted = self.weights[:, None, None] * self._across
        levers = weighted @ self._levers
        centres = np.einsum('nij,nj->ni', weighted, self._centres)
        normal = self._sum(weighted) + REGULARISATION * np.eye(3)
        self._inverse = np.linalg.inv(normal)  # (T, 3, 3) for T landmarks
        self._mixed, self._offset = self._sum(levers), self._sum(centres)
        matrix = np.einsum('nij,nik->jk', self._levers, levers)
        right = np.einsum('nij,ni->j', self._levers, centres)
        solved = self._inverse @ self._mixed
        matrix -= np.einsum('tij,tik->jk', self._mixed, solved)
        right -= np.einsum('tij,ti->j', solved, self._offset)
        return matrix, right

    def points(self, x: np.ndarray) -> np.ndarray:
        """Landmarks for a solution x, (T, 3)."""
        return np.einsum('tij,tj->ti', self._inverse, self._offset + self._mixed @ x)

    def residuals(self, x: np.ndarray, sigma: float) -> np.ndarray:
        """Residuals, (M, 3), normalised by the depth; also sets the weights for the next pass."""
        offsets = self.points(x)[self._landmarks] - self._centres - self._levers @ x
        depths = np.maximum(np.linalg.norm(offsets, axis=1), MIN_DEPTH)
        residuals = np.einsum('nij,nj->ni', self._across, offsets) / depths[:, None]
        size = np.linalg.norm(residuals, axis=1) / (OUTLIER * sigma)
        self.weights = 1 / depths**2 / (1 + size**2)
        return residuals

    def _sum(self, values: np.ndarray) -> np.ndarray:
        """Sums by landmark."""
        starts = np.flatnonzero(np.diff(self._landmarks, prepend=-1))
        return np.add.reduceat(values, starts)


def _solve(rays: _Rays, gravity: float, sigma: float, passes: int) -> Alignment:
    down = rays.down * gravity
    for _ in range(passes):
        weights = rays.weights
        velocity, down = _solve_on_sphere(*rays.eliminate(), down, gravity)
        x = np.concatenate([velocity, down])
        residuals = rays.residuals(x, sigma).ravel()
    return Alignment(residuals, weights, velocity, down, rays.points(x))


def _solve_on_sphere(
    matrix: np.ndarray, right: np.ndarray, down: np.ndarray, gravity: float
) -> tuple[np.ndarray, np.ndarray]:
    """Minimise x' matrix x / 2 + right' x over x = (velocity, down) with |down| = gravity."""
    for _ in range(SPHERE_STEPS):
        tangent = np.linalg.svd(down[None])[2][1:].T  # (3, 2)
        basis = np.zeros((6, 5))
        basis[:3, :3], basis[3:, 3:] = np.eye(3), tangent
        gradient = right + matrix @ np.concatenate([np.zeros(3), down])
        normal = basis.T @ matrix @ basis + REGULARISATION * np.eye(5)
        step = np.linalg.solve(normal, -basis.T @ gradient)
        down = down + tangent @ step[3:]
        down *= gravity / np.linalg.norm(down)
    return step[:3], down
