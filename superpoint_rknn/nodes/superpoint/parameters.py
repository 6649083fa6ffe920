"""Parameters of the superpoint node, and their conversion to settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from superpoint_rknn.extractor import Settings
from superpoint_rknn.features.input_range import InputSettings
from superpoint_rknn.features.keypoints import DetectorSettings
from superpoint_rknn.nodes.common.camera_names import CameraSettings, parameter_of
from superpoint_rknn.nodes.common.parameters import NodeSettings, Parameters
from superpoint_rknn.parameters import FEATURES
from superpoint_rknn.runtimes.open import RuntimeSettings
from superpoint_rknn.settings import Parameter, ParameterGroup, parameter

MIN_RATE = 0.01  # [Hz] of descriptors, if any


@dataclass(frozen=True)
class WorkerSettings(ParameterGroup, prefix='npu.'):
    """Settings of the inference thread. Raises ValueError for a setting out of range."""

    timeout: float = parameter(
        5.0,
        'Timeout of an inference, after the first one that worked: then images count as failed. '
        'After three times this, a process of this package exits with 75, to be started anew. The '
        'first inference and loading the model have 180 s.',
        unit='s',
        limits=(0.1, 3600),
    )


@dataclass(frozen=True)
class SuperPointSettings(ParameterGroup):
    """Settings of the superpoint node alone. Raises ValueError for a setting out of range."""

    descriptors_rate: float = parameter(
        5.0,
        'Rate of `descriptors`; 0: never; above the camera rate: for every image.',
        name='descriptors.rate',
        unit='Hz',
        limits=(0, 1000),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if 0 < self.descriptors_rate < MIN_RATE:
            raise ValueError(
                f'descriptors.rate: {self.descriptors_rate}, expected 0 or at least {MIN_RATE}'
            )


PARAMETERS = (
    *RuntimeSettings.parameters(),
    *WorkerSettings.parameters(),
    *FEATURES,
    *SuperPointSettings.parameters(),
    *CameraSettings.parameters(),
    *NodeSettings.parameters(),
)


def parameters_of_cameras(values: dict[str, Any]) -> tuple[Parameter, ...]:
    """Return the parameters of single cameras. Raises ValueError if `cameras` is invalid."""
    cameras = CameraSettings.from_values(values).cameras
    return tuple(
        Parameter(
            parameter_of(camera, 'mask'), '', f"As `mask`, for {camera} alone; '': as `mask`."
        )
        for camera in cameras
        if camera
    )


def settings_of(
    values: dict[str, Any], changed: set[str], before: dict[str, Settings] | None
) -> dict[str, Settings]:
    """
    Return the settings of each camera, by its name.

    values: of all parameters. changed: names of the parameters that changed since `before`.
    before: the previous settings, whose masks are kept; None: there are none.
    Raises ValueError with the reason if a value is invalid.
    """
    SuperPointSettings.from_values(values)
    InputSettings.from_values(values)
    detector = DetectorSettings.from_values(values)
    masks = {camera: settings.mask for camera, settings in (before or {}).items()}
    return {
        camera: Settings(detector, values['resize'], masks.get(camera))
        for camera in values['cameras']
    }


def mask_paths(values: Parameters) -> dict[str, str]:
    """Path of the mask of each camera: its own, else the common one; '' if it has none."""
    return {
        camera: (camera and values[parameter_of(camera, 'mask')]) or values['mask']
        for camera in values['cameras']
    }
