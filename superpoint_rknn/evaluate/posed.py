"""Pairs of images whose camera matrices and relative pose are known: `--pairs FILE`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from superpoint_rknn.evaluate.features import SETTINGS, all_features, methods_of, model_of
from superpoint_rknn.evaluate.pairs import VIEW_SIZE
from superpoint_rknn.evaluate.pose_metrics import measure_posed, summary
from superpoint_rknn.evaluate.protocol import versions
from superpoint_rknn.evaluate.statistics import without_nan
from superpoint_rknn.features.keypoints import DetectorSettings
from superpoint_rknn.features.resize import ImageTransform
from superpoint_rknn.quantize.calibration import Progress
from superpoint_rknn.runtimes.runtime import Runtime
from superpoint_rknn.sources.open import PICTURES, open_source

KEYS = {'images': (2,), 'K0': (3, 3), 'K1': (3, 3), 'T_0to1': (4, 4)}  # shapes
MAX_TILT = 1e-3  # by which the entries of R R^T may differ from those of the identity


@dataclass(frozen=True)
class PosedPair:
    """Two image files without lens distortion, their cameras, and the pose between them."""

    paths: tuple[Path, Path]
    matrices: tuple[np.ndarray, np.ndarray]  # K of the images as stored, (3, 3) each
    pose: np.ndarray  # (4, 4): x_1 = pose @ x_0 in camera coordinates

    def views(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """
        Both images, stretched to VIEW_SIZE uint8, and the camera matrices of these views.

        Raises OSError or ValueError if an image cannot be read.
        """
        images, matrices = [], []
        for path, matrix in zip(self.paths, self.matrices, strict=True):
            (frame,) = open_source(path)
            grey = frame.grey()
            transform = ImageTransform.fit('stretch', grey.shape, VIEW_SIZE)
            (s_x, s_y), (o_x, o_y) = transform.scale, transform.offset
            to_view = np.array(
                [
                    [1 / s_x, 0, 0.5 / s_x - 0.5 + o_x],
                    [0, 1 / s_y, 0.5 / s_y - 0.5 + o_y],
                    [0, 0, 1],
                ]
            )
            images.append(transform.resize(grey))
            matrices.append(to_view @ matrix)
        return images, matrices


def read_pairs(path: Path) -> list[PosedPair]:
    """
    Read a JSON list of pairs; docs/evaluation.md describes it.

    Raises OSError, or ValueError with file, pair, key and what is expected.
    """
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such file')
    try:
        entries = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{path}: not a JSON file: {error}') from error
    if not isinstance(entries, list) or not entries:
        raise ValueError(f'{path}: expected a list of pairs, [{{{", ".join(KEYS)}}}, ...]')
    return [_pair(entry, f'{path}: pair {i}', path.parent) for i, entry in enumerate(entries)]


def _pair(entry: Any, where: str, folder: Path) -> PosedPair:
    if not isinstance(entry, dict) or (missing := [key for key in KEYS if key not in entry]):
        what = ', '.join(missing) if isinstance(entry, dict) else 'an object'
        raise ValueError(f'{where}: {what} missing, expected the keys {", ".join(KEYS)}')
    images = entry['images']
    if not isinstance(images, list) or [type(name) for name in images] != [str, str]:
        raise ValueError(f'{where}: images: expected the paths of two images')
    paths = [folder / name for name in images]
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f'{where}: images: {path}: no such file')
        if path.suffix.lower() not in PICTURES:
            raise ValueError(f'{where}: images: {path}: expected {", ".join(sorted(PICTURES))}')
    k0, k1, pose = (_matrix(entry, key, where) for key in ('K0', 'K1', 'T_0to1'))
    for key, matrix in (('K0', k0), ('K1', k1)):
        if min(matrix[0, 0], matrix[1, 1]) <= 0 or not np.array_equal(matrix[2], [0, 0, 1]):
            raise ValueError(f'{where}: {key}: expected [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]')
    rotation = pose[:3, :3]
    is_rotation = np.allclose(rotation @ rotation.T, np.eye(3), atol=MAX_TILT, rtol=0)
    if not is_rotation or np.linalg.det(rotation) < 0 or (pose[3] != [0, 0, 0, 1]).any():
        raise ValueError(f'{where}: T_0to1: expected [R t; 0 0 0 1] with a rotation R')
    if not pose[:3, 3].any():
        raise ValueError(f'{where}: T_0to1: without translation its direction is undefined')
    return PosedPair((paths[0], paths[1]), (k0, k1), pose)


def _matrix(entry: Mapping[str, Any], key: str, where: str) -> np.ndarray:
    try:
        matrix = np.array(entry[key], np.float64)
    except (TypeError, ValueError):
        matrix = np.empty(0)
    if matrix.shape != KEYS[key] or not np.isfinite(matrix).all():
        rows, cols = KEYS[key]
        raise ValueError(f'{where}: {key}: expected {rows} lists of {cols} numbers')
    return matrix


def report_on_pairs(
    pairs: Sequence[PosedPair],
    runtimes: Mapping[str, Runtime],
    unrefined: bool = False,
    progress: Progress = iter,
    settings: DetectorSettings = SETTINGS,
) -> dict:
    """Evaluate pairs with known poses; returns the content of the --json file."""
    methods = methods_of(runtimes, unrefined, settings)
    measured: dict[str, list[dict[str, float]]] = {}
    for pair in progress(pairs):
        images, matrices = pair.views()
        first, second = (all_features(methods, image) for image in images)
        for name in first:
            values = measure_posed(first[name], second[name], matrices, pair.pose)
            measured.setdefault(name, []).append(values)
    names = [[str(path) for path in pair.paths] for pair in pairs]
    return {
        'pairs': len(pairs),
        'rows': [
            {'name': name, **summary(values), **model_of(name, runtimes)}
            for name, values in measured.items()
        ],
        'by_pair': {
            name: [
                {'images': images, **without_nan(value)}
                for images, value in zip(names, values, strict=True)
            ]
            for name, values in measured.items()
        },
        'settings': asdict(settings),
        'versions': versions(),
    }
