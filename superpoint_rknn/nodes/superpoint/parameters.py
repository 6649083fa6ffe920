"""The superpoint node's parameters: what they are, and how they are turned into settings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from superpoint_rknn import parameters
from superpoint_rknn.extractor import Settings
from superpoint_rknn.features.image import read_mask
from superpoint_rknn.features.keypoints import DetectorSettings
from superpoint_rknn.nodes.common.camera_names import CameraSettings, parameter_of
from superpoint_rknn.nodes.common.parameters import NodeSettings
from superpoint_rknn.settings import Parameter, ParameterGroup, parameter

LEAST_RATE = 0.01  # [Hz] of descriptors, if any


@dataclass(frozen=True)
class SuperPointSettings(ParameterGroup):
    """When the superpoint node does its work. Raises ValueError for a setting out of range."""

    descriptors_rate: float = parameter(
        5.0,
        "How often descriptors are published; 0: never, above the camera's rate: for every image.",
        name='descriptors.rate',
        unit='Hz',
        limits=(0, 1000),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if 0 < self.descriptors_rate < LEAST_RATE:
            raise ValueError(
                f'descriptors.rate: {self.descriptors_rate}, expected 0 or at least {LEAST_RATE}'
            )


PARAMETERS = (
    *parameters.SUPERPOINT,
    *SuperPointSettings.parameters(),
    *CameraSettings.parameters(),
    *NodeSettings.parameters(),
)


def parameters_of_cameras(values: dict[str, Any]) -> tuple[Parameter, ...]:
    """What each of several cameras has for itself. Raises ValueError if `cameras` is bad."""
    cameras = CameraSettings.from_values(values).cameras
    return tuple(
        Parameter(parameter_of(camera, 'mask'), '', f"As `mask`, for {camera}; '': that one.")
        for camera in cameras
        if camera
    )


def settings_of(
    values: dict[str, Any], changed: set[str], before: dict[str, Settings] | None
) -> dict[str, Settings]:
    """
    Settings of each camera that the values of its parameters state.

    changed: names of those that differ from what stated the settings `before`.
    Raises ValueError with the reason if a value is bad.
    """
    SuperPointSettings.from_values(values)
    detector = DetectorSettings.from_values(values)
    paths = {camera: mask_path(camera, values) for camera in values['cameras']}
    known = {}
    if before is not None and not any(name.rpartition('.')[2] == 'mask' for name in changed):
        known = {paths[camera]: settings.mask for camera, settings in before.items()}
    masks = masks_of(paths.values(), known)
    return {
        camera: Settings(detector, values['resize'], masks[path]) for camera, path in paths.items()
    }


def mask_path(camera: str, values: dict[str, Any]) -> str:
    """Path of a camera's mask: its own, else that of all; '' where there is none."""
    return values.get(parameter_of(camera, 'mask'), '') or values['mask']


def masks_of(
    paths: Iterable[str], known: dict[str, np.ndarray | None]
) -> dict[str, np.ndarray | None]:
    """Masks by path, read unless known. Raises ValueError if a file is no image."""
    masks = {'': None, **known}
    for path in paths:
        if path not in masks:
            masks[path] = read_mask(path)
    return masks
