"""Camera model of a camera from its calibration file or its newest camera_info."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sensor_msgs.msg import CameraInfo

from superpoint_rknn.errors import NotReadyError, one_line
from superpoint_rknn.files import absolute_path
from superpoint_rknn.nodes.common.camera_names import parameter_of
from superpoint_rknn.settings import Values
from superpoint_rknn.tracking.calibration import Calibration
from superpoint_rknn.tracking.calibration_file import read_calibration
from superpoint_rknn.tracking.camera_model import CameraModel
from superpoint_rknn.tracking.tracker import Tracks

Calibrations = dict[str, tuple[Calibration, str]]  # and its path, by the name of the camera
MAX_COEFFICIENTS = 100  # of a camera_info, with surplus zeros
RECTIFIED = re.compile('(^|[/_])rect(ified)?([/_]|$)')  # in names of topics


class CalibrationSource:
    """
    Cache of the camera model of a calibration file or of the newest camera_info.

    topic: full name of the camera_info topic, for error messages.
    file: the calibration in a file, and its path, which it has in error messages; None: the
    newest camera_info, which is stored in `info`, applies.
    """

    def __init__(self, topic: str, file: tuple[Calibration, str] | None = None):
        self.info: CameraInfo | None = None
        self._file = None if file is None else file[0]
        self._name = topic if file is None else file[1]
        self._reason = (
            'nothing received: publish it, remap camera_info, or set the parameter calibration to '
            'a file'
        )
        self._source: tuple | None = None
        self._camera_model: CameraModel | None = None

    @property
    def error_message(self) -> str:
        """Reason why there is no camera model, if there is none."""
        return f'{self._name}: {self._reason}'

    def camera_model(self, size: tuple[int, int], rectified: bool = False) -> CameraModel | None:
        """
        Return the camera model for images of a size (height, width); None if unknown.

        rectified: see Calibration.camera_model.
        """
        info, calibration = self.info, self._file
        if calibration is None:
            if info is None:
                return None
            if len(info.d) > MAX_COEFFICIENTS:  # would be converted for each image
                self._reason = f'd: {len(info.d)} coefficients, expected at most 14'
                return None
            calibration = calibration_of(info)
        source = (calibration, size, rectified)
        if source != self._source:
            try:
                self._camera_model = calibration.camera_model(size, rectified)
            except ValueError as error:
                self._camera_model, self._reason = None, str(error)
            self._source = source
        return self._camera_model


@dataclass(frozen=True)
class CameraTracks:
    """The tracks in the image of one camera, and its camera model."""

    tracks: Tracks
    camera_model: CameraModel | None  # None: unknown
    calibration: CalibrationSource


def calibration_of(info: CameraInfo) -> Calibration:
    """Return the calibration in a camera_info."""
    return Calibration(
        height=info.height,
        width=info.width,
        distortion_model=info.distortion_model,
        d=tuple(info.d),
        k=tuple(info.k),
        r=tuple(info.r),
        p=tuple(info.p),
        binning=(info.binning_x, info.binning_y),
        roi_offset=(info.roi.x_offset, info.roi.y_offset),
        roi_size=(info.roi.width, info.roi.height),
    )


def rectification_warning(image_topic: str, rectified: bool) -> str | None:
    """Return a warning if images seem to be rectified by their topic, but not by `rectified`."""
    if rectified or not RECTIFIED.search(image_topic):
        return None
    return f'{image_topic}: if these images are rectified, set the parameter rectified to true'


class CalibrationMissingError(ValueError, NotReadyError):
    """The calibration file can't be read."""


def read_calibrations(values: Values) -> Calibrations:
    """
    Read the calibration file of each camera that has one; return them and their paths by camera.

    values: of all parameters. Raises CalibrationMissingError if a file can't be read, ValueError
    with parameter, file, field, value and remedy if it is wrong.
    """
    cameras = values['cameras']
    calibrations = {}
    for number, camera in enumerate(cameras):
        own = parameter_of(camera, 'calibration')
        name = own if camera and values[own] else 'calibration'
        if not values[name]:
            continue
        path = absolute_path(values[name])
        shared = name != own and len(cameras) > 1
        try:
            calibration = read_calibration(path, camera, number, shared)
            calibrations[camera] = calibration, one_line(str(path))
        except OSError as error:
            reason = f'{error.strerror}: give the path of a readable file'
            raise CalibrationMissingError(f'{name}: {path}: {reason}') from None
        except ValueError as error:
            raise ValueError(f'{name}: {path}: {error}') from None
    return calibrations
