"""Camera model: undistort pixels to viewing directions."""

from __future__ import annotations

import re
from typing import cast

import cv2
import numpy as np

from superpoint_rknn.settings import short_repr

COEFFICIENTS = {  # distortion model: valid numbers of coefficients
    'plumb_bob': (0, 4, 5),
    'rational_polynomial': (0, 4, 5, 8, 12, 14),
    'equidistant': (4,),
    'mei': (5,),
}
ALIASES = {  # names of Kalibr, camodocal, EuRoC and camera drivers
    'radtan': 'plumb_bob',
    'radial_tangential': 'plumb_bob',
    'brown_conrady': 'plumb_bob',
    'equi': 'equidistant',
    'fisheye': 'equidistant',
    'kannala_brandt': 'equidistant',
}
# Unknown models that are no pinhole, also if all coefficients are 0.
WIDE_ANGLE = re.compile('fish|theta|omni|fov|sphere|unified|kannala|equi|scaramuzza')
FOCAL_LENGTHS = (1.0, 1e6)  # [px]
MAX_PRINCIPAL_POINT = 1e6  # [px]
MAX_COEFFICIENT = 1e6
MAX_REPROJECTION_ERROR = 0.1  # [px] of a valid direction
ITERATIONS = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-9)


class CameraModel:
    """
    Intrinsic calibration of a camera, as in sensor_msgs/CameraInfo.

    matrix: K, 3x3 [px].
    model: distortion model: plumb_bob, rational_polynomial, equidistant (cv2.fisheye), one of
    ALIASES, or mei (unified projection: Mei and Rives, Single View Point Omnidirectional Camera
    Calibration from Planar Grids, 2007; as in camodocal and Kalibr's omni).
    coefficients: D; for mei xi, k1, k2, p1, p2. Surplus zeros at the end are ignored. Empty: no
    distortion, with any model; all 0: the same, but for equidistant and mei.
    rotation: R, 3x3; directions in the image are R times those that `undistort` returns.
    Raises ValueError with field and value if the camera is not calibrated or the model is unknown.
    """

    def __init__(
        self,
        matrix: np.ndarray,
        model: str,
        coefficients: np.ndarray,
        rotation: np.ndarray | None = None,
    ):
        self.matrix = checked_matrix('k', matrix)
        coefficients = np.asarray(coefficients, np.float64).reshape(-1)
        name = re.sub('[- ]', '_', model.strip().lower())
        name = ALIASES.get(name, name)
        self.coefficients = _checked_coefficients(name, coefficients, model)
        self._model = name if len(self.coefficients) else ''
        self._xi = 0.0
        if self._model == 'mei':
            self._xi, self.coefficients = self.coefficients[0], self.coefficients[1:]
        self._rotation = None if rotation is None else np.asarray(rotation, float).reshape(3, 3)

    @property
    def focal(self) -> float:
        """Mean focal length in the middle of the image [px]."""
        return float((self.matrix[0, 0] + self.matrix[1, 1]) / 2 / (1 + self._xi))

    def undistort(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """
        Undistort pixels to directions (X / Z, Y / Z), (N, 2) float64.

        x, y: (N,) [px]. A direction is NaN if OpenCV's iteration does not converge or no direction
        in front of the camera projects to the pixel.
        """
        if not len(x):
            return np.empty((0, 2))
        directions = self._undistort(np.stack([x, y], axis=1).astype(np.float64))
        if self._model == 'mei':
            directions = _lift(directions, self._xi)
        if self._rotation is None:
            return directions
        rays = cv2.convertPointsToHomogeneous(directions)[:, 0] @ self._rotation
        rays[rays[:, 2] <= 0] = np.nan
        return rays[:, :2] / rays[:, 2:]

    def _undistort(self, pixels: np.ndarray) -> np.ndarray:
        """Undistort (N, 2) pixels to the plane Z = 1; for mei to that of its projection."""
        if not self.coefficients.any() and self._model != 'equidistant':
            focal = self.matrix[[0, 1], [0, 1]]
            skew = self.matrix[0, 1] / self.matrix[0, 0]
            plane = (pixels - self.matrix[:2, 2]) / focal
            return plane - np.stack([skew * plane[:, 1], np.zeros(len(plane))], axis=1)
        points, (matrix, d) = pixels[:, None], (self.matrix, self.coefficients)
        if self._model == 'equidistant':
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


def checked_matrix(field: str, matrix: np.ndarray) -> np.ndarray:
    """
    Return a camera matrix as (3, 3) float64.

    Raises ValueError with `field` and the value if it is none, or not in pixels.
    """
    matrix = np.asarray(matrix, np.float64).reshape(3, 3)
    focal, centre = matrix[[0, 1], [0, 1]], matrix[:2, 2]
    if not np.isfinite(matrix).all():
        raise ValueError(
            f'{field}: {short_repr(matrix.ravel().tolist())}, expected numbers: the camera is not '
            'calibrated'
        )
    if focal.min() <= 0:
        raise ValueError(
            f'{field}: focal lengths {focal[0]:g}, {focal[1]:g}, expected positive numbers: the '
            'camera is not calibrated'
        )
    if focal.min() < FOCAL_LENGTHS[0] or focal.max() > FOCAL_LENGTHS[1]:
        raise ValueError(
            f'{field}: focal lengths {focal[0]:g}, {focal[1]:g}, expected '
            f'{FOCAL_LENGTHS[0]:g} to {FOCAL_LENGTHS[1]:g}: give them in pixels'
        )
    if np.abs(centre).max() > MAX_PRINCIPAL_POINT:
        raise ValueError(
            f'{field}: principal point {centre[0]:g}, {centre[1]:g}, expected a pixel near the '
            'image'
        )
    if matrix[1, 0] or matrix[2].tolist() != [0, 0, 1] or abs(matrix[0, 1]) > focal[0]:
        raise ValueError(
            f'{field}: {matrix.ravel().tolist()}, expected fx, 0, cx, 0, fy, cy, 0, 0, 1'
        )
    return matrix


def _checked_coefficients(model: str, coefficients: np.ndarray, given: str) -> np.ndarray:
    """
    Return the coefficients in a number that OpenCV accepts.

    model: canonical name. given: name in the calibration, for the error message.
    Raises ValueError with field and value if there are too many or too few, or for an unknown
    model.
    """
    if not np.isfinite(coefficients).all() or np.abs(coefficients).max(initial=0) > (
        MAX_COEFFICIENT
    ):
        raise ValueError(
            f'd: {short_repr(coefficients.tolist())}, expected numbers of at most '
            f'{MAX_COEFFICIENT:g}: calibrate again'
        )
    if (
        not len(coefficients)
        and model not in ('equidistant', 'mei')
        and not (WIDE_ANGLE.search(model))
    ):
        return coefficients
    if model not in COEFFICIENTS:
        if coefficients.any() or WIDE_ANGLE.search(model):
            raise ValueError(
                f'distortion_model: {short_repr(given)}, expected one of '
                f'{", ".join([*COEFFICIENTS, *ALIASES])}: calibrate with one of them'
            )
        return np.empty(0)
    used = len(np.trim_zeros(coefficients, 'b'))
    fitting = [n for n in COEFFICIENTS[model] if used <= n <= len(coefficients)]
    if not fitting:
        counts = ' or '.join(str(n) for n in COEFFICIENTS[model] if n)
        larger = COEFFICIENTS['rational_polynomial']
        remedy = (
            'these may be of rational_polynomial'
            if model == 'plumb_bob' and used > 5 and len(coefficients) in larger
            else 'more must be 0, missing ones must be given as 0'
        )
        raise ValueError(
            f'd: {len(coefficients)} coefficients, {short_repr(coefficients.tolist())}, expected '
            f'{counts} for {given.strip()}: {remedy}'
        )
    coefficients = coefficients[: max(fitting)]
    if model == 'mei' and not 0 <= coefficients[0] <= 100:
        raise ValueError(f'xi: {coefficients[0]:g}, expected 0 to 100: calibrate again')
    return coefficients


def _lift(points: np.ndarray, xi: float) -> np.ndarray:
    """Directions (X / Z, Y / Z) of (N, 2) points of the unified projection; NaN if Z <= 0."""
    r2 = np.square(points).sum(axis=1)
    with np.errstate(invalid='ignore'):
        root = np.sqrt(1 + (1 - xi**2) * r2)  # NaN: nothing projects there
    z = 1 - xi * (r2 + 1) / (xi + root)
    z[~(z > 0)] = np.nan
    return points / z[:, None]
