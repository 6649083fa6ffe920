"""The superpoint node's parameters: declared, checked, and turned into settings."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node

from superpoint_rknn.extractor import Settings
from superpoint_rknn.features.keypoints import DetectorSettings

LEAST_RATE = 0.01  # [Hz] of descriptors, if any


@dataclass(frozen=True)
class Parameter:
    """One parameter as users see it."""

    name: str
    default: Any
    description: str
    limits: tuple[float, float] | None = None
    choices: tuple[str, ...] = field(default=())
    read_only: bool = False

    @property
    def descriptor(self) -> ParameterDescriptor:
        descriptor = ParameterDescriptor(description=self.description, read_only=self.read_only)
        if self.limits is not None and isinstance(self.default, float):
            low, high = self.limits
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        elif self.limits is not None:
            low, high = self.limits
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
        if self.choices:
            descriptor.additional_constraints = 'one of ' + ', '.join(self.choices)
        return descriptor


PARAMETERS = (
    Parameter(
        'autostart', True, 'Configure and activate at start, without a manager.', read_only=True
    ),
    Parameter(
        'model',
        '',
        'Path of the network, .rknn or .onnx. Empty: the shipped one for this chip, else the '
        'shipped CPU network.',
        read_only=True,
    ),
    Parameter(
        'runtime',
        'auto',
        'Engine that runs the network. auto: by the kind of model.',
        choices=('auto', 'librknn', 'rknnlite', 'onnx'),
        read_only=True,
    ),
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
    Parameter('overlay.rate', 10.0, 'Most overlay images per second [Hz].', limits=(0.1, 1000.0)),
)


def declare_parameter(node: Node, name: str) -> Any:
    """
    Declare one of PARAMETERS, if it is not declared yet; returns its value.

    Raises rclpy's ParameterException naming the parameter if the value given for it is refused.
    """
    if not node.has_parameter(name):
        (parameter,) = (p for p in PARAMETERS if p.name == name)
        node.declare_parameter(name, parameter.default, parameter.descriptor)
    return node.get_parameter(name).value


class Parameters:
    """
    The values of PARAMETERS on a node, and the settings that they state, as they change.

    changed: called with the names of changed parameters, after `settings` holds them.
    """

    def __init__(self, node: Node, changed: Callable[[set[str]], None]):
        self.settings = Settings()
        self._node = node
        self._changed = changed
        self._values: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def declare(self) -> None:
        """
        Declare all parameters that are not declared yet, and take their values.

        Raises ValueError, or rclpy's ParameterException, naming the parameter that is refused.
        """
        first = not self._values
        values = {p.name: declare_parameter(self._node, p.name) for p in PARAMETERS}
        self.settings = self._checked(values, set(values))
        self._values = values
        if first:
            self._node.add_on_set_parameters_callback(self._on_set)

    def _on_set(self, parameters: list) -> SetParametersResult:
        """Take a change of several parameters together, or refuse it with the reason."""
        changes = {p.name: p.value for p in parameters if p.name in self._values}
        if not changes:
            return SetParametersResult(successful=True)
        values = self._values | changes
        try:
            self.settings = self._checked(values, set(changes))
        except (TypeError, ValueError) as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._values = values
        self._changed(set(changes))
        return SetParametersResult(successful=True)

    def _checked(self, values: dict[str, Any], changed: set[str]) -> Settings:
        """Settings that these values state; ValueError with the reason if they are bad."""
        for parameter in PARAMETERS:
            if parameter.choices and values[parameter.name] not in parameter.choices:
                raise ValueError(
                    f'{parameter.name}: {values[parameter.name]!r}, expected '
                    f'{parameter.descriptor.additional_constraints}'
                )
        if 0 < values['descriptors.rate'] < LEAST_RATE:
            raise ValueError(
                f'descriptors.rate: {values["descriptors.rate"]}, expected 0 or at least '
                f'{LEAST_RATE}'
            )
        mask = self.settings.mask
        if 'mask' in changed:
            mask = read_mask(values['mask']) if values['mask'] else None
        detector = {
            name.removeprefix('detector.'): value
            for name, value in values.items()
            if name.startswith('detector.')
        }
        return Settings(DetectorSettings(**detector), values['resize'], mask)


def read_mask(path: str) -> np.ndarray:
    """Mask image, (height, width) uint8. Raises ValueError if the file is no image."""
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise ValueError(f'mask: {path}: {error.strerror}') from error
    mask = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE) if content.size else None
    if mask is None:
        raise ValueError(f'mask: {path} is not an image that OpenCV reads')
    return mask
