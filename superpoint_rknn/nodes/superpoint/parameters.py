"""The superpoint node's parameters: what they are, and how they are turned into settings."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import numpy as np

from superpoint_rknn.extractor import Settings
from superpoint_rknn.features.image import read_mask
from superpoint_rknn.features.keypoints import DetectorSettings
from superpoint_rknn.nodes.common.camera_names import (
    CAMERAS,
    STEREO,
    SYNC_TOLERANCE,
    check_cameras,
    parameter_of,
)
from superpoint_rknn.nodes.common.parameters import AUTOSTART, OVERLAY_RATE, Parameter

LEAST_RATE = 0.01  # [Hz] of descriptors, if any


PARAMETERS = (
    AUTOSTART,
    Parameter(
        'model',
        '',
        'Path of the network, .rknn or .onnx, or the name of a shipped one, superpoint or '
        'superpoint_small, for this chip, else for its CPU. Empty: superpoint.',
        read_only=True,
    ),
    Parameter(
        'runtime',
        'auto',
        'Engine that runs the network. auto: by the kind of model.',
        choices=('auto', 'librknn', 'rknnlite', 'onnx'),
        read_only=True,
    ),
    CAMERAS,
    STEREO,
    SYNC_TOLERANCE,
    Parameter(
        'image_transport',
        'raw',
        'raw: sensor_msgs/Image on `image`; compressed: sensor_msgs/CompressedImage beside it.',
        choices=('raw', 'compressed'),
        read_only=True,
    ),
    Parameter(
        'input.mean',
        math.nan,
        'Mean of the normalisation (x - mean) / std of the network. NaN: as in the model card.',
        read_only=True,
    ),
    Parameter(
        'input.std',
        math.nan,
        'Standard deviation of that normalisation. NaN: as in the model card, else the one that '
        'makes the quantised input equal to the image bytes.',
        read_only=True,
    ),
    Parameter(
        'input.pass_through',
        'auto',
        'Hand the bytes to the NPU as they are, through a table where needed (auto, true), or '
        'have the library normalise and quantise each image (false).',
        choices=('auto', 'true', 'false'),
        read_only=True,
    ),
    Parameter(
        'npu.zero_copy',
        False,
        'Share memory with the NPU instead of copying (RKNPU2); given up, with a warning, where '
        'results differ.',
        read_only=True,
    ),
    Parameter(
        'npu.core_mask',
        0,
        'Cores of the NPU to use, a bit each (RK3588: 1, 2, 4, all 7); 0: the driver chooses.',
        limits=(0, 0xFFFF),
        read_only=True,
    ),
    Parameter(
        'resize',
        'stretch',
        'How a camera image of another size is fitted to the network.',
        choices=('stretch', 'crop', 'letterbox'),
    ),
    Parameter('mask', '', "Image file of the camera image's size: no points where it is 0."),
    Parameter('detector.threshold', 0.015, 'Least probability of a point.', limits=(0.0, 1.0)),
    Parameter(
        'detector.nms_radius',
        4,
        'No two points are nearer than this along both axes [px of the network image].',
        limits=(0, 32),
    ),
    Parameter(
        'detector.max_keypoints', 500, 'Most points per image, strongest first.', limits=(1, 10000)
    ),
    Parameter(
        'detector.border',
        4,
        'No points nearer than this to the edge [px of the network image].',
        limits=(0, 256),
    ),
    Parameter(
        'detector.grid',
        [1, 1],
        'Rows and columns over which points are spread evenly; [1, 1]: by strength alone.',
    ),
    Parameter(
        'detector.subpixel', False, 'Refine each point by a parabola through its neighbours.'
    ),
    Parameter(
        'descriptors.rate',
        5.0,
        "How often descriptors are published [Hz]; 0: never, above the camera's rate: for every "
        'image.',
        limits=(0.0, 1000.0),
    ),
    OVERLAY_RATE,
)


def parameters_of_cameras(values: dict[str, Any]) -> tuple[Parameter, ...]:
    """What each of several cameras has for itself. Raises ValueError if `cameras` is bad."""
    check_cameras(values['cameras'], values['stereo'])
    return tuple(
        Parameter(parameter_of(camera, 'mask'), '', f"As `mask`, for {camera}; '': that one.")
        for camera in values['cameras']
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
    if 0 < values['descriptors.rate'] < LEAST_RATE:
        raise ValueError(
            f'descriptors.rate: {values["descriptors.rate"]}, expected 0 or at least {LEAST_RATE}'
        )
    detector = DetectorSettings(
        **{field.name: values[f'detector.{field.name}'] for field in fields(DetectorSettings)}
    )
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
