"""Camera model: undistort pixels to viewing directions."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

COEFFICIENTS = {  # distortion model of ROS: valid numbers of coefficients
    'plumb_bob': (0, 4, 5),
    'rational_polynomial': (0, 4, 5, 8, 12, 14),
    'equidistant': (0, 4),
}
MAX_REPROJECTION_ERROR = 0.1  # [px] of a valid direction
ITERATIONS = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-9)


class CameraModel:
    """
    Intrinsic calibration of a camera, as in sensor_msgs/CameraInfo.

    matrix: K, 3x3. model: distortion model: plumb_bob, rational_polynomial or equidistant
    (cv2.fisheye).
    coefficients: D; empty or all 0: no distortion, with any model.
    Raises ValueError with field and value if the camera is not calibrated or the model is unknown.
    """

    def __init__(self, matrix: np.ndarray, model: str, coefficients: np.ndarray):
        self.matrix = np.asarray(matrix, np.float64).reshape(3, 3)
        if not np.isfinite(self.matrix).all() or min(self.matrix[0, 0], self.matrix[1, 1]) <= 0:
            raise ValueError(
                f'k: focal lengths {self.matrix[0, 0]:g}, {self.matrix[1, 1]:g}, expected '
                'positive numbers: the camera is not calibrated'
            )
        self.coefficients = np.asarray(coefficients, np.float64).reshape(-1)
        if self.coefficients.any() or model in COEFFICIENTS:
            if model not in COEFFICIENTS:
                raise ValueError(
                    f'distortion_model: {model!r}, expected one of {", ".join(COEFFICIENTS)}'
                )
            if len(self.coefficients) not in COEFFICIENTS[model]:
                raise ValueError(
                    f'd: {len(self.coefficients)} coefficients, expected '
                    f'{" or ".join(map(str, COEFFICIENTS[model]))} for {model}'
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
        Undistort pixels to directions (X / Z, Y / Z), (N, 2) float64.

        x, y: (N,) [px]. A direction is NaN if OpenCV's iteration does not converge or no direction
        in front of the camera projects to the pixel.
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
            undistorted = cv2.fisheye.undistortPoints(points, matrix, d)
            projected = cv2.fisheye.distortPoints(undistorted, matrix, d)
        else:
            none = cast(np.ndarray, None)  # no rectification, which OpenCV's stubs don't allow
            undistorted = cv2.undistortPointsIter(points, matrix, d, none, none, ITERATIONS)
            rays = cv2.convertPointsToHomogeneous(undistorted)
            projected, _ = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), matrix, d)
        directions = np.asarray(undistorted[:, 0])
        with np.errstate(invalid='ignore', over='ignore'):
            error = np.abs(projected[:, 0] - pixels).max(axis=1)
            is_valid = error <= MAX_REPROJECTION_ERROR
        directions[~is_valid] = np.nan
        return directions
