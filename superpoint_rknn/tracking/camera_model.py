"""A camera's lens: from pixels to directions."""

from __future__ import annotations

import cv2
import numpy as np

COEFFICIENTS = {  # numbers of coefficients that each of ROS's distortion models may have
    'plumb_bob': (0, 4, 5),
    'rational_polynomial': (0, 4, 5, 8, 12, 14),
    'equidistant': (0, 4),
}
PRECISION = 0.1  # [px] a direction that the lens shows farther than this from its pixel is none
ITERATIONS = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-9)


class CameraModel:
    """
    Intrinsic calibration of a camera, as sensor_msgs/CameraInfo states it.

    matrix: K, 3x3. model: plumb_bob, rational_polynomial or equidistant (cv2.fisheye).
    coefficients: D; none: no distortion, whatever the model.
    Raises ValueError naming the field and the value of what is not calibrated or not known.
    """

    def __init__(self, matrix: np.ndarray, model: str, coefficients: np.ndarray):
        self.matrix = np.asarray(matrix, np.float64).reshape(3, 3)
        if not np.isfinite(self.matrix).all() or min(self.matrix[0, 0], self.matrix[1, 1]) <= 0:
            raise ValueError(
                f'k: focal lengths {self.matrix[0, 0]:g}, {self.matrix[1, 1]:g}: the camera is '
                'not calibrated'
            )
        self.coefficients = np.asarray(coefficients, np.float64).reshape(-1)
        if self.coefficients.any() or model in COEFFICIENTS:
            if model not in COEFFICIENTS:
                raise ValueError(
                    f'distortion_model: {model!r}, expected one of {", ".join(COEFFICIENTS)}'
                )
            if len(self.coefficients) not in COEFFICIENTS[model]:
                raise ValueError(
                    f'd: {len(self.coefficients)} coefficients, {model} has '
                    f'{" or ".join(map(str, COEFFICIENTS[model]))}'
                )
        if not np.isfinite(self.coefficients).all():
            raise ValueError(f'd: {self.coefficients.tolist()}, expected finite numbers')
        self._fisheye = model == 'equidistant' and len(self.coefficients) > 0

    @property
    def focal(self) -> float:
        """Mean focal length [px]."""
        return (self.matrix[0, 0] + self.matrix[1, 1]) / 2

    def undistort(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """
        Directions of pixels as (X / Z, Y / Z), (N, 2) float64.

        x, y: (N,) [px]. NaN where the lens shows no direction in front of the camera at a pixel,
        or cv2's iteration did not find it.
        """
        if not len(x):
            return np.empty((0, 2))
        pixels = np.stack([x, y], axis=1).astype(np.float64)
        if not self.coefficients.any() and not self._fisheye:
            focal = self.matrix[[0, 1], [0, 1]]
            skew = self.matrix[0, 1] / self.matrix[0, 0]
            plane = (pixels - self.matrix[:2, 2]) / focal
            return plane - np.stack([skew * plane[:, 1], np.zeros(len(plane))], axis=1)
        points, (matrix, d) = pixels[:, None], (self.matrix, self.coefficients)
        if self._fisheye:
            plane = cv2.fisheye.undistortPoints(points, matrix, d)
            shown = cv2.fisheye.distortPoints(plane, matrix, d)
        else:
            plane = cv2.undistortPointsIter(points, matrix, d, None, None, ITERATIONS)
            rays = cv2.convertPointsToHomogeneous(plane)
            shown, _ = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), matrix, d)
        plane = plane[:, 0]
        with np.errstate(invalid='ignore', over='ignore'):
            found = np.abs(shown[:, 0] - pixels).max(axis=1) <= PRECISION
        plane[~found] = np.nan
        return plane
