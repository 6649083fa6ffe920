"""Read the calibration of a camera from a YAML file of ROS, Kalibr, EuRoC or VINS."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from superpoint_rknn.bounded_yaml import read_yaml
from superpoint_rknn.tracking.calibration import Calibration

MAX_SIZE = 65535  # [px] of an image
CHAIN_ENTRY = re.compile(r'cam\d+')
# Prefix of height and width; names of K, D, R and P.
ROS_FIELDS = (
    (
        'image_',
        (
            'camera_matrix',
            'distortion_coefficients',
            'rectification_matrix',
            'projection_matrix',
        ),
    ),
    ('', ('k', 'd', 'r', 'p')),  # ROS 2, printed
    ('', ('K', 'D', 'R', 'P')),  # ROS 1, printed
)
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
LENS = tuple(('distortion_parameters', name) for name in ('k1', 'k2', 'p1', 'p2'))
# model_type -> distortion model, group and field of each coefficient, fields of fx, fy, cx, cy.
VINS_MODELS = {
    'PINHOLE': ('plumb_bob', LENS, ('fx', 'fy', 'cx', 'cy')),
    'MEI': ('mei', (('mirror_parameters', 'xi'), *LENS), ('gamma1', 'gamma2', 'u0', 'v0')),
    'KANNALA_BRANDT': (
        'equidistant',
        tuple(('projection_parameters', name) for name in ('k2', 'k3', 'k4', 'k5')),
        ('mu', 'mv', 'u0', 'v0'),
    ),
}

Content = Mapping[str, Any]  # of a file; all scalars are str


def read_calibration(
    path: Path, camera: str = '', number: int = 0, shared: bool = False
) -> Calibration:
    """
    Read the calibration of a camera from a YAML file.

    Formats: sensor_msgs/CameraInfo as ROS's camera_calibration writes it or `ros2 topic echo`
    prints it; a camchain of Kalibr; sensor.yaml of EuRoC; a camera of VINS (camodocal).
    camera, number: its name and its number among all cameras. Of a camchain the entry with that
    name is read, else cam0, cam1, ... by number.
    shared: the file is for several cameras.
    Raises OSError, or ValueError with field, value and remedy.
    """
    content = read_yaml(path)
    chain = {k: v for k, v in content.items() if CHAIN_ENTRY.fullmatch(k) and _is_mapping(v)}
    if not chain and shared:
        raise ValueError(
            f'one camera, but it is for several: set {camera.replace("/", ".")}.calibration, ...'
        )
    if not chain:
        return _from_single(content)
    name = camera if camera in chain else f'cam{number}'
    if len(chain) == 1 and not shared:
        (name,) = chain
    if name not in chain:
        raise ValueError(f'{name}: missing, the file has {", ".join(chain)}: add its entry')
    try:
        return _from_kalibr(chain[name])
    except ValueError as error:
        raise ValueError(f'{name}: {error}') from None


def _from_single(content: Content) -> Calibration:
    """Return the calibration in a file of one camera."""
    if 'model_type' in content:
        return _from_vins(content)
    for prefix, fields in ROS_FIELDS:
        if fields[0] in content:
            return _from_ros(content, prefix, *fields)
    if 'intrinsics' in content:
        return _from_kalibr(content)
    if 'cam0_calib' in content:
        raise ValueError(
            f"the estimator's parameters: give the file that cam0_calib names, "
            f'{content["cam0_calib"]!r}'
        )
    raise ValueError(
        'no calibration found: expected camera_matrix (ROS), cam0 with intrinsics (Kalibr), '
        'intrinsics (EuRoC) or model_type (VINS)'
    )


def _from_ros(content: Content, prefix: str, k: str, d: str, r: str, p: str) -> Calibration:
    """Return the calibration in a file of camera_calibration or a printed CameraInfo."""
    roi = content.get('roi', {})
    if not _is_mapping(roi):
        raise ValueError(f'roi: {roi!r}, expected x_offset, y_offset, height and width')
    return Calibration(
        height=_size(content, f'{prefix}height'),
        width=_size(content, f'{prefix}width'),
        # Missing in files of OpenCV; ROS's camera_calibration_parsers assume the same.
        distortion_model=str(content.get('distortion_model', 'plumb_bob')),
        d=_numbers(content, d),
        k=_numbers(content, k, 9),
        r=_numbers(content, r, 9) if r in content else IDENTITY,
        p=_numbers(content, p, 12) if p in content else (0.0,) * 12,
        binning=(_size(content, 'binning_x', 1), _size(content, 'binning_y', 1)),
        roi_offset=(_size(roi, 'x_offset', 0), _size(roi, 'y_offset', 0)),
        roi_size=(_size(roi, 'width', 0), _size(roi, 'height', 0)),
    )


def _from_kalibr(entry: Content) -> Calibration:
    """Return the calibration in an entry of a camchain, or in a sensor.yaml of EuRoC."""
    model, distortion = (str(entry.get(f, '')) for f in ('camera_model', 'distortion_model'))
    if model not in ('pinhole', 'omni'):
        raise ValueError(
            f'camera_model: {model!r}, expected pinhole or omni: calibrate with pinhole-radtan or '
            'pinhole-equi'
        )
    field = 'distortion_coeffs' if 'distortion_coeffs' in entry else 'distortion_coefficients'
    d: tuple[float, ...] = () if distortion == 'none' else _numbers(entry, field)
    if model == 'pinhole':
        intrinsics = list(_numbers(entry, 'intrinsics', 4))
    elif distortion in ('radtan', 'none'):
        xi, *intrinsics = _numbers(entry, 'intrinsics', 5)
        distortion, d = 'mei', (xi, *(d or (0.0,) * 4))
    else:
        raise ValueError(
            f'distortion_model: {distortion!r}, expected radtan or none for omni: calibrate with '
            'omni-radtan'
        )
    resolution = entry.get('resolution')
    if not isinstance(resolution, list) or len(resolution) != 2:
        raise ValueError(f'resolution: {resolution!r}, expected [width, height] in pixels')
    size = dict(zip(('width', 'height'), resolution, strict=True))
    return Calibration(
        height=_size(size, 'height'),
        width=_size(size, 'width'),
        distortion_model=distortion,
        d=d,
        k=_matrix(*intrinsics),
    )


def _from_vins(content: Content) -> Calibration:
    """Return the calibration in a file of camodocal, which VINS-Mono and VINS-Fusion read."""
    kind = str(content['model_type'])
    if kind not in VINS_MODELS:
        raise ValueError(
            f'model_type: {_short(kind)}, expected one of {", ".join(VINS_MODELS)}: calibrate '
            'with one of them'
        )
    model, d, intrinsics = VINS_MODELS[kind]
    return Calibration(
        height=_size(content, 'image_height'),
        width=_size(content, 'image_width'),
        distortion_model=model,
        d=tuple(_number(content, *field) for field in d),
        k=_matrix(*(_number(content, 'projection_parameters', name) for name in intrinsics)),
    )


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _matrix(fx: float, fy: float, cx: float, cy: float) -> tuple[float, ...]:
    return (fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0)


def _size(content: Content, field: str, default: int | None = None) -> int:
    """Return a number of pixels. Raises ValueError if it is none."""
    text = content.get(field, default)
    if text is None:
        raise ValueError(f'{field}: missing: add the size of the images')
    is_number = re.fullmatch('[0-9]{1,5}', str(text)) is not None
    if not is_number or int(text) > MAX_SIZE:
        raise ValueError(f'{field}: {_short(text)}, expected a whole number, 0 to {MAX_SIZE}')
    return int(text)


def _number(content: Content, group: str, field: str) -> float:
    """Return a number in a mapping of a file. Raises ValueError if there is none."""
    values = content.get(group)
    if not isinstance(values, Mapping) or field not in values:
        raise ValueError(f'{group}.{field}: missing: add it')
    return _float(f'{group}.{field}', values[field])


def _numbers(content: Content, field: str, count: int | None = None) -> tuple[float, ...]:
    """
    Return a list of numbers, or the `data` of a matrix.

    count: expected number of them; None: any. Raises ValueError if it is no such list.
    """
    if field not in content:
        raise ValueError(f'{field}: missing: add it')
    values = content[field]
    if isinstance(values, Mapping):
        values = values.get('data')
    if not isinstance(values, list) or (count is not None and len(values) != count):
        raise ValueError(
            f'{field}: {_short(values)}, expected a list of {"" if count is None else count} '
            'numbers'.replace('  ', ' ')
        )
    return tuple(_float(field, value) for value in values)


def _float(field: str, text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        raise ValueError(f'{field}: {_short(text)}, expected a number') from None


def _short(value: Any) -> str:
    """Return a value for an error message."""
    text = repr(value)
    return text if len(text) <= 60 else f'{text[:57]}...'
