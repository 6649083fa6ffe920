"""Camera model of a camera from its newest `camera_info`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sensor_msgs.msg import CameraInfo

from superpoint_rknn.tracking.camera_model import CameraModel
from superpoint_rknn.tracking.tracker import Tracks


class Calibration:
    """
    Cache of the camera model of the newest camera_info; updated when that changes.

    topic: full name of the camera_info topic, for error messages.
    """

    def __init__(self, topic: str):
        self.info: CameraInfo | None = None
        self._topic = topic
        self._reason = 'nothing received'
        self._source: tuple | None = None
        self._camera_model: CameraModel | None = None

    @property
    def error_message(self) -> str:
        """Reason why there is no camera model, if there is none."""
        return f'{self._topic}: {self._reason}'

    def camera_model(self, size: tuple[int, int]) -> CameraModel | None:
        """Return the camera model for images of a size (height, width); None if unknown."""
        info = self.info
        if info is None:
            return None
        source = (
            *(size, info.height, info.width, info.distortion_model),
            *(np.asarray(info.k).tobytes(), np.asarray(info.d).tobytes()),
            *(info.binning_x, info.binning_y, info.roi.x_offset, info.roi.y_offset),
        )
        if source != self._source:
            try:
                self._camera_model = camera_model_from_info(info, size)
            except ValueError as error:
                self._camera_model, self._reason = None, str(error)
            self._source = source
        return self._camera_model


@dataclass(frozen=True)
class CameraTracks:
    """The tracks in the image of one camera, and its camera model."""

    tracks: Tracks
    camera_model: CameraModel | None  # None: unknown
    calibration: Calibration


def camera_model_from_info(info: CameraInfo, image_size: tuple[int, int]) -> CameraModel:
    """
    Return the camera model of a camera_info for images of `image_size` (height, width) [px].

    Raises ValueError with field and value if the calibration is not for such images.
    """
    if info.width and (info.height, info.width) != image_size:
        raise ValueError(
            f'height, width: {info.height}, {info.width}: the images have {image_size}; '
            'calibrate at their size'
        )
    if max(info.binning_x, info.binning_y) > 1 or info.roi.x_offset or info.roi.y_offset:
        raise ValueError(
            f'binning: {info.binning_x}, {info.binning_y}, roi at {info.roi.x_offset}, '
            f'{info.roi.y_offset}: expected the whole image, every pixel'
        )
    return CameraModel(info.k, info.distortion_model, info.d)
