"""The evaluation of docs/evaluation.md: pairs of views, one real pair and real stereo."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

import cv2
import numpy as np

from superpoint_rknn import __version__
from superpoint_rknn.evaluate.features import (
    SETTINGS,
    Method,
    all_features,
    methods_of,
    model_of,
)
from superpoint_rknn.evaluate.metrics import Features, measure
from superpoint_rknn.evaluate.pairs import VIEW_SIZE, Pair, Scene, make_pair
from superpoint_rknn.evaluate.scenes import Material
from superpoint_rknn.evaluate.statistics import (
    METRICS,
    Measured,
    by_scene,
    difference,
    summary,
    without_nan,
)
from superpoint_rknn.evaluate.stereo import StereoPair, measure_stereo
from superpoint_rknn.features.keypoints import DetectorSettings
from superpoint_rknn.quantize.calibration import Progress
from superpoint_rknn.runtimes.runtime import Runtime

PairMaker = Callable[[Scene, int], Pair]  # of a scene and a seed


def evaluate(
    scenes: Sequence[Scene],
    methods: Sequence[Method],
    seeds: int,
    progress: Progress = iter,
    make: PairMaker = make_pair,
) -> dict[str, Measured]:
    """
    Measure features on pairs of views; deterministic.

    seeds: number of pairs per scene.
    Returns the values, (scenes, seeds), by row and metric.
    """
    values: dict[str, dict[str, np.ndarray]] = {}
    first: dict[str, Features] = {}
    image = np.empty(0, np.uint8)
    for index, seed in progress([(i, seed) for i in range(len(scenes)) for seed in range(seeds)]):
        pair = make(scenes[index], seed)
        if not np.array_equal(pair.first, image):  # often equal for all seeds
            image, first = pair.first, all_features(methods, pair.first)
        for name, measured in measure_pair(first, methods, pair).items():
            row = values.setdefault(name, {m: np.empty((len(scenes), seeds)) for m in METRICS})
            for metric, value in measured.items():
                row[metric][index, seed] = value
    return values


def measure_pair(
    first: dict[str, Features], methods: Sequence[Method], pair: Pair
) -> dict[str, dict[str, float]]:
    """Metrics of one pair by row; first: features of its first image."""
    second = all_features(methods, pair.second)
    return {
        name: measure(first[name], second[name], pair.homography, VIEW_SIZE) for name in second
    }


def report_on(
    material: Material,
    runtimes: Mapping[str, Runtime],
    seeds: int,
    unrefined: bool = False,
    progress: Progress = iter,
    settings: DetectorSettings = SETTINGS,
) -> dict:
    """Run an evaluation; returns the content of the --json file."""
    methods = methods_of(runtimes, unrefined, settings)
    values = evaluate(material.scenes, methods, seeds, progress)
    names = [scene.name for scene in material.scenes]
    return {
        'pairs': len(names) * seeds,
        'rows': rows_of(values, runtimes),
        'real': _real(methods, material.real_pair),
        'stereo': [_stereo(methods, pair) for pair in material.stereo],
        'differences': _differences(values),
        'scenes': names,
        'missing': list(material.missing),
        'seeds': seeds,
        'by_scene': {name: by_scene(measured, names) for name, measured in values.items()},
        'settings': asdict(settings),
        'versions': versions(),
    }


def rows_of(values: Mapping[str, Measured], runtimes: Mapping[str, Runtime]) -> list[dict]:
    """Rows of a report: means and intervals, model and runtime."""
    return [
        {'name': name, **summary(measured), **model_of(name, runtimes)}
        for name, measured in values.items()
    ]


def versions() -> dict[str, str]:
    """Versions that a result depends on."""
    return {
        'superpoint_rknn': __version__,
        'opencv': cv2.__version__,
        'numpy': np.__version__,
        'python': platform.python_version(),
        'machine': platform.machine(),
    }


def _real(methods: Sequence[Method], pair: Pair | None) -> dict | None:
    if pair is None:
        return None
    measured = measure_pair(all_features(methods, pair.first), methods, pair)
    rows = [{'name': name, **without_nan(values)} for name, values in measured.items()]
    return {'name': 'graf1-3', 'rows': rows}


def _stereo(methods: Sequence[Method], pair: StereoPair) -> dict:
    left, right = (all_features(methods, image) for image in (pair.left, pair.right))
    rows = [
        {'name': name, **without_nan(measure_stereo(left[name], right[name], pair))}
        for name in left
    ]
    return {'name': pair.name, 'rows': rows}


def _differences(values: dict[str, Measured]) -> list[dict]:
    """Differences of 8-bit rows to their float rows on the same pairs."""
    return [
        {'name': name, 'reference': reference, 'metrics': difference(measured, values[reference])}
        for name, measured in values.items()
        if name.startswith('u8') and (reference := name.replace('u8', 'float')) in values
    ]
