"""Calibration of a camera, as sensor_msgs/CameraInfo has it, and the camera model it gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from superpoint_rknn.tracking.camera_model import CameraModel, checked_matrix

MAX_ROTATION_ERROR = 1e-3  # of the elements of R times its transpose


@dataclass(frozen=True)
class Calibration:
    """
    Fields of sensor_msgs/CameraInfo (REP 104), with its names.

    height, width, k, p and the region of interest are those of the full image without binning.
    """

    height: int = 0  # [px]; with width 0: unknown
    width: int = 0
    distortion_model: str = ''
    d: tuple[float, ...] = ()
    k: tuple[float, ...] = (0.0,) * 9
    r: tuple[float, ...] = (0.0,) * 9
    p: tuple[float, ...] = (0.0,) * 12
    binning: tuple[int, int] = (1, 1)  # x, y; 0 as 1
    roi_offset: tuple[int, int] = (0, 0)  # x, y [px]
    roi_size: tuple[int, int] = (0, 0)  # width, height [px]; 0: the full image

    def camera_model(self, image_size: tuple[int, int], rectified: bool = False) -> CameraModel:
        """
        Return the camera model for images of `image_size` (height, width) [px].

        rectified: the images are rectified: P and R apply instead of K and D. Directions are
        those of the camera, as without rectification.
        Raises ValueError with field, value and remedy if the calibration is not for such images.
        """
        self._check_size(image_size)
        if not rectified:
            matrix = self._binned(checked_matrix('k', np.array(self.k)))
            return CameraModel(matrix, self.distortion_model, np.array(self.d))
        if not any(self.p):
            raise ValueError(
                'p: all 0, expected the matrix of the rectified image: calibrate with '
                'rectification, or set the parameter rectified to false'
            )
        matrix = self._binned(checked_matrix('p', np.array(self.p).reshape(3, 4)[:, :3]))
        return CameraModel(matrix, '', np.empty(0), self._rotation())

    def _check_size(self, image_size: tuple[int, int]) -> None:
        """Raise ValueError unless images of this (height, width) are of this calibration."""
        if not self.width:
            return
        full = (self.height, self.width)
        expected = tuple(
            (part or whole) // max(bin_size, 1)
            for part, whole, bin_size in zip(
                self.roi_size[::-1], full, self.binning[::-1], strict=True
            )
        )
        if expected == image_size:
            return
        what = f'height, width: {self.height}, {self.width}'
        if expected != full:
            what += f', with binning and roi {expected[0]}, {expected[1]}'
        remedy = 'calibrate at their size'
        if image_size == full:
            remedy = 'set binning_x, binning_y and roi to 0 for images of the full size'
        factor = expected[0] // max(image_size[0], 1)
        if factor > 1 and expected == (image_size[0] * factor, image_size[1] * factor):
            remedy += (
                f'; or, if the camera reduces the whole image, set binning_x and binning_y to '
                f'{factor} in camera_info or a file of ROS'
            )
        raise ValueError(f'{what}: the images have {image_size[0]}, {image_size[1]}; {remedy}')

    def _binned(self, matrix: np.ndarray) -> np.ndarray:
        """Return the matrix of the binned region of interest for that of the full image."""
        matrix = matrix.copy()
        matrix[:2, 2] -= self.roi_offset
        for axis, size in enumerate(self.binning):
            # A binned pixel has its centre in the middle of those that it combines.
            matrix[axis, 2] -= (max(size, 1) - 1) / 2
            matrix[axis] /= max(size, 1)
        return matrix

    def _rotation(self) -> np.ndarray:
        """Return R. Raises ValueError if it is no rotation."""
        rotation = np.array(self.r).reshape(3, 3)
        error = np.abs(rotation @ rotation.T - np.eye(3)).max()
        if not error <= MAX_ROTATION_ERROR or np.linalg.det(rotation) < 0:
            raise ValueError(
                f'r: {rotation.ravel().tolist()}, expected a rotation matrix: the identity for a '
                'camera that is only undistorted'
            )
        return rotation
