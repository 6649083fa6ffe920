"""The nodes' parameters as far as they matter without ROS: from their YAML files to settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from superpoint_rknn.bounded_yaml import parse_yaml, read_yaml
from superpoint_rknn.extract.feature_bag import sibling_topic
from superpoint_rknn.extractor import Settings
from superpoint_rknn.features.image import read_mask
from superpoint_rknn.features.keypoints import DetectorSettings
from superpoint_rknn.parameters import REMOVED, SUPERPOINT, unknown_parameter
from superpoint_rknn.runtimes.open import RuntimeSettings
from superpoint_rknn.settings import Parameter, nearest_name
from superpoint_rknn.tracking.tracker import TrackSettings

PARAMETERS = {
    parameter.name: parameter for parameter in (*SUPERPOINT, *TrackSettings.parameters())
}

NODES = ('superpoint', 'tracker')
NODE_ONLY = 'npu.timeout'  # of a running node alone, among names that are checked here


def read_parameters(paths: Iterable[Path], given: Iterable[str]) -> dict[str, Any]:
    """
    Values of all of PARAMETERS, and masks of cameras as `cam0.mask`; later ones win.

    What matters to a running node alone is left out.

    paths: ROS parameter files. given: parameters as `ros2 run` takes them, NAME:=VALUE.
    Raises OSError, or ValueError naming what is wrong.
    """
    values = {name: parameter.default for name, parameter in PARAMETERS.items()}
    for path in paths:
        for node, name, value in _given(path):
            known = _find(name)
            if known is not None:
                values[name] = _checked(f'{path}: ', known, value)
            elif _is_mistyped(node, name):
                raise ValueError(f'{path}: {unknown_parameter(name, PARAMETERS)}')
    for text in given:
        name, separator, value = text.partition(':=')
        known = _find(name)
        names = ', '.join(PARAMETERS)
        if not separator:
            raise ValueError(f'-p {text}: expected NAME:=VALUE, NAME one of {names}')
        if known is None:
            reason = unknown_parameter(name, PARAMETERS)
            raise ValueError(f'-p {text}: {reason}; this command has {names}')
        values[name] = _checked('-p ', known, _parsed(text, value))
    return values


def settings_of(values: dict[str, Any], image_topic: str) -> tuple[Settings, TrackSettings]:
    """Settings that values state for a camera; ValueError with the reason if one is bad."""
    detector = DetectorSettings.from_values(values)
    settings = Settings(detector, values['resize'], _mask_of(values, image_topic))
    return settings, TrackSettings.from_values(values)


def runtime_options(values: dict[str, Any]) -> dict[str, Any]:
    """What `open_runtime` takes beside the model."""
    options = asdict(RuntimeSettings.from_values(values))
    del options['model']
    return options


def _parsed(given: str, value: str) -> Any:
    try:
        return parse_yaml(value, typed=True)
    except ValueError as error:
        raise ValueError(f'-p {given}: {error}') from None


def _given(path: Path) -> Iterator[tuple[str, str, Any]]:
    """Nodes, names and values of a parameter file: all below any `ros__parameters`."""
    found: list[tuple[str, dict]] = []
    try:
        waiting: list[tuple[str, Any]] = [('', read_yaml(path, typed=True))]
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None
    while waiting:
        node, tree = waiting.pop(0)
        if not isinstance(tree, dict):
            continue
        for key, value in tree.items():
            if key == 'ros__parameters':
                found.append((node, value))
            else:
                waiting.append((str(key), value))
    if not found or not all(isinstance(section, dict) for _, section in found):
        raise ValueError(f'{path}: no ROS parameter file: nothing below `ros__parameters`')
    for node, section in found:
        for name, value in _flat(section):
            yield node, name, value


def _flat(section: dict, prefix: str = '') -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, dict):
            yield from _flat(value, f'{prefix}{key}.')
        else:
            yield f'{prefix}{key}', value


def _is_mistyped(node: str, name: str) -> bool:
    """Return whether an unknown name is a mistake, not one that only a running node uses."""
    if name == NODE_ONLY:
        return False
    if name in REMOVED or name.startswith(('detector.', 'input.', 'npu.')):
        return True
    return node.rpartition('/')[2] in NODES and nearest_name(name, PARAMETERS) is not None


def _checked(where: str, parameter: Parameter, value: Any) -> Any:
    """Value of the parameter's type; ValueError that begins with `where` if it is refused."""
    try:
        return parameter.check(value)
    except ValueError as error:
        raise ValueError(f'{where}{error}') from error


def _find(name: str) -> Parameter | None:
    """Return the parameter of a name; None for what is no parameter here."""
    return (
        replace(PARAMETERS['mask'], name=name) if name.endswith('.mask') else PARAMETERS.get(name)
    )


def _mask_of(values: dict[str, Any], image_topic: str) -> np.ndarray | None:
    """Mask of the camera whose name the topic's place ends with, else the one of all cameras."""
    place = sibling_topic(image_topic, 'mask').replace('/', '.')
    own = [name for name, path in values.items() if path and place.endswith(f'.{name}')]
    path = values[max(own, key=len, default='mask')]
    return read_mask(path) if path else None
