"""Settings of the estimator."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EstimatorSettings:
    """
    Settings of the estimator; the noise densities have to be those of the IMU, or a bit larger.

    docs/vio.md says on which sequences the defaults were chosen.
    """

    focal: float = 400.0  # [px]; turns limits in pixels into normalised coordinates
    track_noise: float = 0.7  # [px], standard deviation
    gyro_noise: float = 4e-4  # [rad/s/sqrt(Hz)]
    acc_noise: float = 4e-3  # [m/s^2/sqrt(Hz)]
    gyro_walk: float = 5e-5  # of the bias [rad/s^2/sqrt(Hz)]
    acc_walk: float = 1e-3  # of the bias [m/s^3/sqrt(Hz)]
    gravity: float = 9.81  # [m/s^2]
    keyframes: int = 7  # in the window, beside the newest image
    keyframe_parallax: float = 10.0  # [px], median, between keyframes
    keyframe_interval: float = 0.5  # [s] between keyframes, at most
    landmarks: int = 60  # seen in one image, at most
    landmark_spacing: float = 12.0  # [px] between them in the newest image, at least
    landmark_angle: float = 0.02  # [rad] between two rays of a new landmark, at least
    outlier_limit: float = 4.0  # reprojection error in standard deviations
    iterations: int = 6  # of the optimisation per image
    start_span: float = 1.0  # [s] of motion, at least, before a start is tried
    start_parallax: float = 25.0  # [px], median, over that motion
    start_speed_sigma: float = 0.12  # [m/s]; a start is accepted if the speed is known so well
    rest_span: float = 0.5  # [s] at rest, for a start at rest
