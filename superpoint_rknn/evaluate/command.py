"""
Compare SuperPoint, float and 8-bit, with ORB and SIFT: repeatability and matching.

The protocol (docs/evaluation.md): 24 photographs with 13 random homographies and light changes
each, 312 pairs of 640x400, 500 points per image; repeatability and mean matching accuracy at
3 px, share of homographies correct within 1, 3 and 5 px; and one real pair.

Example:
-------
  superpoint_rknn evaluate --fetch
  superpoint_rknn evaluate --json evaluation.json --plot evaluation.png
  superpoint_rknn evaluate --quick --model my_u8.onnx --weights my_weights.npz
  superpoint_rknn evaluate --images my_pictures/
  superpoint_rknn evaluate --tracks --fetch
  superpoint_rknn evaluate --tracks --json tracks.json

With --tracks: length and accuracy of the tracker's tracks with the network's keypoints, with
Shi-Tomasi corners and with ORB (docs/tracking.md).
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from superpoint_rknn import __version__
from superpoint_rknn.evaluate.chart import chart, load_figure_class
from superpoint_rknn.evaluate.features import (
    SETTINGS,
    UNREFINED,
    Method,
    NetworkFeatures,
    float_runtime,
    orb,
    sift,
)
from superpoint_rknn.evaluate.fetch import fetch_scenes
from superpoint_rknn.evaluate.metrics import Features, measure
from superpoint_rknn.evaluate.pairs import VIEW_SIZE, Pair, Scene, make_pair
from superpoint_rknn.evaluate.report import table
from superpoint_rknn.evaluate.scenes import Material, own_material, protocol_material
from superpoint_rknn.evaluate.statistics import (
    METRICS,
    Measured,
    by_scene,
    difference,
    summary,
)
from superpoint_rknn.evaluate.tracks import command as tracks_command
from superpoint_rknn.features.keypoints import DetectorSettings
from superpoint_rknn.files import check_output, write_atomically
from superpoint_rknn.quantize.calibration import Progress
from superpoint_rknn.runtimes.model_files import find_model, find_weights
from superpoint_rknn.runtimes.open import open_runtime
from superpoint_rknn.runtimes.runtime import Runtime

SEEDS = 13
log = logging.getLogger(__name__)


def evaluate(
    scenes: Sequence[Scene], methods: Sequence[Method], seeds: int, progress: Progress = iter
) -> dict[str, Measured]:
    """
    Measure features on pairs of views; deterministic.

    seeds: number of pairs per scene.
    Returns the values, (scenes, seeds), by row and metric.
    """
    values: dict[str, dict[str, np.ndarray]] = {}
    first: dict[str, Features] = {}
    for index, seed in progress([(i, seed) for i in range(len(scenes)) for seed in range(seeds)]):
        pair = make_pair(scenes[index], seed)
        if seed == 0:
            first = all_features(methods, pair.first)  # equal for all seeds
        for name, measured in measure_pair(first, methods, pair).items():
            row = values.setdefault(name, {m: np.empty((len(scenes), seeds)) for m in METRICS})
            for metric, value in measured.items():
                row[metric][index, seed] = value
    return values


def all_features(methods: Sequence[Method], image: np.ndarray) -> dict[str, Features]:
    """Features of one image by row."""
    return {name: found for method in methods for name, found in method(image).items()}


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
    runtimes: dict[str, Runtime],
    seeds: int,
    unrefined: bool = False,
    progress: Progress = iter,
    settings: DetectorSettings = SETTINGS,
) -> dict:
    """Run an evaluation; returns the content of the --json file."""
    methods: list[Method] = [
        *(
            NetworkFeatures(name, runtime, unrefined, settings)
            for name, runtime in runtimes.items()
        ),
        orb,
        sift,
    ]
    values = evaluate(material.scenes, methods, seeds, progress)
    names = [scene.name for scene in material.scenes]
    rows = []
    for name, measured in values.items():
        runtime = runtimes.get(name.removesuffix(UNREFINED))
        model = {'model': runtime.model, 'engine': runtime.name} if runtime else {}
        rows.append({'name': name, **summary(measured), **model})
    return {
        'pairs': len(names) * seeds,
        'rows': rows,
        'real': _real(methods, material.real_pair),
        'differences': _differences(values),
        'scenes': names,
        'missing': list(material.missing),
        'seeds': seeds,
        'by_scene': {name: by_scene(measured, names) for name, measured in values.items()},
        'settings': asdict(settings),
        'versions': {
            'superpoint_rknn': __version__,
            'opencv': cv2.__version__,
            'numpy': np.__version__,
            'python': platform.python_version(),
            'machine': platform.machine(),
        },
    }


def _real(methods: Sequence[Method], pair: Pair | None) -> dict | None:
    if pair is None:
        return None
    measured = measure_pair(all_features(methods, pair.first), methods, pair)
    rows = []
    for name, values in measured.items():
        known = {m: None if np.isnan(value) else value for m, value in values.items()}
        rows.append({'name': name, **known})
    return {'name': 'graf1-3', 'rows': rows}


def _differences(values: dict[str, Measured]) -> list[dict]:
    """Differences of 8-bit rows to their float rows on the same pairs."""
    return [
        {'name': name, 'reference': reference, 'metrics': difference(measured, values[reference])}
        for name, measured in values.items()
        if name.startswith('u8') and (reference := name.replace('u8', 'float')) in values
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `superpoint_rknn evaluate`."""
    add = parser.add_argument
    add(
        '--tracks', action='store_true', help='evaluate tracks in image sequences instead of pairs'
    )
    add('--json', type=Path, metavar='FILE', help='write all results')
    add('--plot', type=Path, metavar='FILE.png', help='write a bar chart (needs matplotlib)')
    add(
        '--quick',
        action='store_true',
        help='1 pair per scene instead of 13; 40 images per sequence',
    )
    add('--model', default='', help=MODEL_HELP)
    add('--weights', default='', help=WEIGHTS_HELP)
    add(
        '--unrefined',
        action='store_true',
        help='add rows without detector.subpixel and detector.refine',
    )
    add(
        '--threshold',
        type=float,
        default=SETTINGS.threshold,
        help="detector.threshold (default: the node's, %(default)g); results of different "
        'thresholds are not comparable',
    )
    add(
        *('--images', '-i'),
        type=Path,
        nargs='+',
        metavar='DIR',
        help='folders of pictures instead of the scenes of the protocol; results of different '
        'pictures are not comparable',
    )
    add('--allow-missing', action='store_true', help='continue without missing scenes')
    add(
        '--fetch',
        action='store_true',
        help='only fetch the scenes (from the Debian package opencv-doc), or with --tracks the '
        'image sequences (from visp-images-data)',
    )


MODEL_HELP = '8-bit model: superpoint (default), superpoint_small or a file; 400x640 for pairs'
WEIGHTS_HELP = 'float weights: a name as for --model, or .npz, .onnx, .pth (default: of the model)'


def run(args: argparse.Namespace) -> int:
    """Run `superpoint_rknn evaluate`; returns the exit code."""
    from tqdm import tqdm

    if args.tracks:
        check_output(args.json, '.json')
        return tracks_command.run(args)
    if args.fetch:
        print(f'scenes: {fetch_scenes()}')
        return 0
    check_output(args.json, '.json')
    check_output(args.plot, '.png')
    if args.plot:
        load_figure_class()  # fails before the long work
    settings = replace(SETTINGS, threshold=args.threshold)
    material = own_material(args.images) if args.images else protocol_material(args.allow_missing)
    if material.missing:
        log.warning(f'results are not comparable, missing scenes: {", ".join(material.missing)}')
    with ExitStack() as stack:
        model = open_runtime(find_model(args.model, None))
        stack.callback(model.close)
        weights = float_runtime(find_weights(args.weights, args.model))
        stack.callback(weights.close)
        report = report_on(
            material,
            {'float': weights, 'u8' if model.descriptors.quantization else 'model': model},
            1 if args.quick else SEEDS,
            args.unrefined,
            partial(tqdm, desc='evaluating', unit='pair', leave=False),
            settings,
        )
    print(table(report))
    if args.json:
        write_atomically(args.json, f'{json.dumps(report, indent=1, allow_nan=False)}\n'.encode())
    if args.plot:
        write_atomically(args.plot, chart(report))
    return 0
