"""Parameters of the tracker node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from superpoint_rknn.features.input_range import InputSettings
from superpoint_rknn.nodes.common.camera_names import CameraSettings, parameter_of
from superpoint_rknn.nodes.common.parameters import NodeSettings
from superpoint_rknn.settings import Parameter, ParameterGroup, parameter
from superpoint_rknn.tracking.tracker import TrackSettings


@dataclass(frozen=True)
class TrackerSettings(ParameterGroup):
    """Settings of the tracker node alone. Raises ValueError for a setting out of range."""

    keypoints_wait: float = parameter(
        0.2,
        'Timeout of the wait of an image for its keypoints, and for the right image of its stereo '
        'pair; then it is tracked without. The wait for keypoints also ends when those of a later '
        'image arrive, since the detector has dropped this image.',
        unit='s',
        limits=(0, 10),
    )
    feature_format: str = parameter(
        'off',
        'Format of `feature`: for VINS-Fusion (nine channels) or VINS-Mono (five channels).',
        name='feature.format',
        choices=('off', 'vins_fusion', 'vins_mono'),
    )
    feature_rate: float = parameter(
        10.0,
        'Rate of `feature`: every n-th image has a message, n = camera rate / feature.rate, '
        'rounded, at least 1, so that messages are evenly spaced; 0: every image.',
        name='feature.rate',
        unit='Hz',
        limits=(0, 1000),
    )
    calibration: str = parameter(
        '',
        'Path of a YAML file with the calibration of the camera, which replaces `camera_info`: as '
        "ROS's camera_calibration, Kalibr (camchain), EuRoC or VINS write it. For several cameras "
        'a camchain, or a file for each: see docs/tracking.md.',
        read_only=True,
    )
    rectified: bool = parameter(
        False,
        'The images are rectified: the matrices P and R of the calibration apply instead of K and '
        'D.',
    )


PARAMETERS = (
    *TrackSettings.parameters(),
    *TrackerSettings.parameters(),
    *InputSettings.parameters(),
    *CameraSettings.parameters(),
    *NodeSettings.parameters(),
)


def parameters_of_cameras(values: dict[str, Any]) -> tuple[Parameter, ...]:
    """Return the parameters of single cameras. Raises ValueError if `cameras` is invalid."""
    cameras = CameraSettings.from_values(values).cameras
    return tuple(
        Parameter(
            parameter_of(camera, 'calibration'),
            '',
            f"As `calibration`, for {camera} alone; '': as `calibration`.",
            read_only=True,
        )
        for camera in cameras
        if camera
    )


def track_settings_of(
    values: dict[str, Any], changed: set[str], before: TrackSettings | None
) -> TrackSettings:
    """Return the settings for parameter values. Raises ValueError with the reason if invalid."""
    CameraSettings.from_values(values)
    InputSettings.from_values(values)
    return TrackSettings.from_values(values)
