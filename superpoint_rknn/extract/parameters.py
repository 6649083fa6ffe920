"""The nodes' parameters as far as they matter without ROS: from their YAML files to settings."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from superpoint_rknn.extract.feature_bag import beside
from superpoint_rknn.extractor import Settings
from superpoint_rknn.features.image import read_mask
from superpoint_rknn.features.keypoints import DetectorSettings
from superpoint_rknn.tracking.tracker import TrackSettings

DETECTOR = {f'detector.{field.name}': field.default for field in fields(DetectorSettings)}
TRACKER = {field.name: field.default for field in fields(TrackSettings)}
ENGINE = {
    'input.mean': math.nan,
    'input.std': math.nan,
    'input.pass_through': 'auto',
    'npu.zero_copy': False,
    'npu.core_mask': 0,
}
DEFAULTS = {
    'model': '',
    'runtime': 'auto',
    **ENGINE,
    'resize': 'stretch',
    'mask': '',
    **DETECTOR,
    **TRACKER,
}


def read_parameters(paths: Iterable[Path], given: Iterable[str]) -> dict[str, Any]:
    """
    Values of all of DEFAULTS, and masks of cameras as `cam0.mask`; later ones win.

    What matters to a running node alone is left out.

    paths: ROS parameter files. given: parameters as `ros2 run` takes them, NAME:=VALUE.
    Raises OSError, or ValueError naming what is wrong.
    """
    values = dict(DEFAULTS)
    for path in paths:
        for name, value in _flat(_sections(path)):
            default = _default(name)
            if default is not None:
                values[name] = _checked(f'{path}: {name}', default, value)
            elif name.startswith(('detector.', 'input.', 'npu.')):
                raise ValueError(f'{path}: no parameter {name!r}')
    for text in given:
        name, separator, value = text.partition(':=')
        default = _default(name)
        if not separator or default is None:
            raise ValueError(f'-p {text}: expected NAME:=VALUE, NAME one of {", ".join(DEFAULTS)}')
        values[name] = _checked(f'-p {name}', default, _parsed(f'-p {text}', value))
    return values


def settings_of(values: dict[str, Any], image_topic: str) -> tuple[Settings, TrackSettings]:
    """Settings that values state for a camera; ValueError with the reason if one is bad."""
    detector = {name.removeprefix('detector.'): values[name] for name in DETECTOR}
    mask = _mask_of(values, image_topic)
    tracker = TrackSettings(**{name: values[name] for name in TRACKER})
    return Settings(DetectorSettings(**detector), values['resize'], mask), tracker


def engine_options(values: dict[str, Any]) -> dict[str, Any]:
    """What `open_runtime` takes beside the model and the engine's name."""
    options = {name.split('.')[1]: values[name] for name in ENGINE}
    for name in ('mean', 'std'):
        options[name] = None if math.isnan(options[name]) else options[name]
    return options


def _parsed(where: str, text: str) -> Any:
    try:
        return YAML(typ='safe', pure=True).load(text)
    except YAMLError as error:
        raise ValueError(f'{where}: {error}') from error


def _sections(path: Path) -> list[dict]:
    """What stands below each `ros__parameters` of a file, whatever the nodes are called."""
    found, waiting = [], [_parsed(str(path), path.read_text(encoding='utf-8'))]
    while waiting:
        tree = waiting.pop(0)
        if not isinstance(tree, dict):
            continue
        for key, value in tree.items():
            (found if key == 'ros__parameters' else waiting).append(value)
    if not found or not all(isinstance(section, dict) for section in found):
        raise ValueError(f'{path}: no ROS parameter file: nothing below `ros__parameters`')
    return found


def _flat(sections: Iterable[dict], prefix: str = '') -> Iterable[tuple[str, Any]]:
    for section in sections:
        for key, value in section.items():
            if isinstance(value, dict):
                yield from _flat([value], f'{prefix}{key}.')
            else:
                yield f'{prefix}{key}', value


def _checked(where: str, default: Any, value: Any) -> Any:
    """A value of the default's type; ValueError if it is of another."""
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(default, tuple) and isinstance(value, list):
        if all(isinstance(item, int) for item in value):
            return tuple(value)
    elif type(value) is type(default):
        return value
    raise ValueError(f'{where}: {value!r}, expected something like {default!r}')


def _default(name: str) -> Any:
    """None for what is no parameter here."""
    return DEFAULTS.get(name, '' if name.endswith('.mask') else None)


def _mask_of(values: dict[str, Any], image_topic: str) -> np.ndarray | None:
    """Mask of the camera whose name the topic's place ends with, else the one of all cameras."""
    place = beside(image_topic, 'mask').replace('/', '.')
    own = [name for name, path in values.items() if path and place.endswith(f'.{name}')]
    path = values[max(own, key=len, default='mask')]
    return read_mask(path) if path else None
