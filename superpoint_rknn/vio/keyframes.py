"""Keyframes of the window, and the prior on the first of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import gtsam
import numpy as np
from gtsam.symbol_shorthand import B, V, X

MIN_COMMON = 10  # tracks; with fewer in common the parallax is unknown
ANCHOR_SIGMA = 1e-3  # [m] and [rad]; position and yaw at the start are free to choose


@dataclass(eq=False)
class TrackedImage:
    """Tracks of one image."""

    number: int
    time: float  # [s]
    seen: dict[int, np.ndarray]  # track id -> direction, (2,)


@dataclass(eq=False)
class Keyframe:
    """An image in the window, and the motion of the body at its time."""

    image: TrackedImage
    navigation: gtsam.NavState
    bias: gtsam.imuBias.ConstantBias
    imu: gtsam.PreintegratedCombinedMeasurements | None = None  # since the keyframe before
    # track id -> factor of the observation, of the landmarks so far
    factors: dict[int, gtsam.NonlinearFactor] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """Number of the image, which is the index of the keyframe's variables."""
        return self.image.number

    @property
    def seen(self) -> dict[int, np.ndarray]:
        """Observations: track id -> direction, (2,)."""
        return self.image.seen


def parallax(first: TrackedImage, second: TrackedImage) -> float:
    """Median distance of the common tracks, normalised; infinite for fewer than MIN_COMMON."""
    common = [track for track in first.seen if track in second.seen]
    if len(common) < MIN_COMMON:
        return np.inf
    moved = [second.seen[track] - first.seen[track] for track in common]
    return float(np.median(np.linalg.norm(moved, axis=1)))


@dataclass(frozen=True)
class Anchor:
    """Standard deviations of the first prior: tilt [rad], speed [m/s], biases."""

    tilt: float
    speed: float
    gyro_bias: float  # [rad/s]
    acc_bias: float  # [m/s^2]

    def prior(self, keyframe: Keyframe) -> gtsam.NonlinearFactorGraph:
        """Prior on a keyframe; position and yaw in the world are fixed."""
        rotation = keyframe.navigation.attitude().matrix()
        covariance = np.eye(6) * ANCHOR_SIGMA**2
        world = np.diag([self.tilt**2, self.tilt**2, ANCHOR_SIGMA**2])
        covariance[:3, :3] = rotation.T @ world @ rotation
        biases = np.repeat([self.acc_bias, self.gyro_bias], 3)
        prior = gtsam.NonlinearFactorGraph()
        number, noise = keyframe.number, gtsam.noiseModel
        prior.addPriorPose3(
            X(number), keyframe.navigation.pose(), noise.Gaussian.Covariance(covariance)
        )
        prior.addPriorVector(
            V(number), keyframe.navigation.velocity(), noise.Isotropic.Sigma(3, self.speed)
        )
        prior.addPriorConstantBias(B(number), keyframe.bias, noise.Diagonal.Sigmas(biases))
        return prior
