"""
How well features are found again and matched: ours, float and in 8 bits, against ORB and SIFT.

By one protocol (docs/evaluation.md): 24 photographs, 13 homographies with other light for each,
312 pairs of 640x400, 500 points an image; repeatability and mean matching accuracy at 3 px,
homographies correct within 1, 3 and 5 px; and one real pair by itself.

Example:
-------
  superpoint_rknn evaluate --fetch
  superpoint_rknn evaluate --json evaluation.json --plot evaluation.png
  superpoint_rknn evaluate --quick --model my_u8.onnx --weights my_weights.npz
  superpoint_rknn evaluate --images my_pictures/
  superpoint_rknn evaluate --tracks --fetch
  superpoint_rknn evaluate --tracks --json tracks.json

With --tracks: how long points are followed, and how well, by the network's keypoints and the
tracker, beside Shi and Tomasi's corners and ORB (docs/tracking.md).
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
from superpoint_rknn.evaluate.features import (
    SETTINGS,
    SUBPIXEL,
    Method,
    NetworkFeatures,
    float_runtime,
    orb,
    sift,
)
from superpoint_rknn.evaluate.fetch import fetch_scenes
from superpoint_rknn.evaluate.metrics import Features, measure
from superpoint_rknn.evaluate.pairs import VIEW_SIZE, Pair, Scene, make_pair
from superpoint_rknn.evaluate.report import chart, table
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
    Measure features on pairs of views.

    seeds: pairs of each scene.
    Returns, by row and metric, the values (scenes, seeds). The same input gives the same figures.
    """
    values: dict[str, dict[str, np.ndarray]] = {}
    first: dict[str, Features] = {}
    for index, seed in progress([(i, seed) for i in range(len(scenes)) for seed in range(seeds)]):
        pair = make_pair(scenes[index], seed)
        if seed == 0:
            first = all_features(methods, pair.first)  # the same for all seeds
        for name, measured in measured_pair(first, methods, pair).items():
            row = values.setdefault(name, {m: np.empty((len(scenes), seeds)) for m in METRICS})
            for metric, value in measured.items():
                row[metric][index, seed] = value
    return values


def all_features(methods: Sequence[Method], image: np.ndarray) -> dict[str, Features]:
    """Features of one image, by row."""
    return {name: found for method in methods for name, found in method(image).items()}


def measured_pair(
    first: dict[str, Features], methods: Sequence[Method], pair: Pair
) -> dict[str, dict[str, float]]:
    """Metrics of one pair, by row; `first`: features of its first image."""
    second = all_features(methods, pair.second)
    return {
        name: measure(first[name], second[name], pair.homography, VIEW_SIZE) for name in second
    }


def report_on(
    material: Material,
    runtimes: dict[str, Runtime],
    seeds: int,
    subpixel: bool = False,
    progress: Progress = iter,
    settings: DetectorSettings = SETTINGS,
) -> dict:
    """All figures of an evaluation, as `superpoint_rknn evaluate --json` writes them."""
    methods = [
        *(
            NetworkFeatures(name, runtime, subpixel, settings)
            for name, runtime in runtimes.items()
        ),
        orb,
        sift,
    ]
    values = evaluate(material.scenes, methods, seeds, progress)
    names = [scene.name for scene in material.scenes]
    rows = []
    for name, measured in values.items():
        runtime = runtimes.get(name.removesuffix(SUBPIXEL))
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
    measured = measured_pair(all_features(methods, pair.first), methods, pair)
    rows = []
    for name, values in measured.items():
        known = {m: None if np.isnan(value) else value for m, value in values.items()}
        rows.append({'name': name, **known})
    return {'name': 'graf1-3', 'rows': rows}


def _differences(values: dict[str, Measured]) -> list[dict]:
    """What 8 bits change, on the same pairs."""
    return [
        {'name': name, 'reference': reference, 'metrics': difference(measured, values[reference])}
        for name, measured in values.items()
        if name.startswith('u8') and (reference := name.replace('u8', 'float')) in values
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `superpoint_rknn evaluate`."""
    add = parser.add_argument
    add('--tracks', action='store_true', help='judge tracks in sequences instead of pairs')
    add('--json', type=Path, metavar='FILE', help='write all figures')
    add('--plot', type=Path, metavar='FILE.png', help='draw the shares as bars')
    add(
        '--quick', action='store_true', help='one pair a scene instead of 13; 40 images a sequence'
    )
    add('--model', default='', help=MODEL_HELP)
    add('--weights', default='', help=WEIGHTS_HELP)
    add('--subpixel', action='store_true', help='add rows with refined points')
    add(
        '--threshold',
        type=float,
        default=SETTINGS.threshold,
        help="detector.threshold (default: the node's, %(default)g); other ones do not compare",
    )
    add(
        *('--images', '-i'),
        type=Path,
        nargs='+',
        metavar='DIR',
        help='folders of pictures instead of the scenes of the protocol; figures of different '
        'pictures do not compare',
    )
    add('--allow-missing', action='store_true', help='go on without scenes that are missing')
    add(
        '--fetch',
        action='store_true',
        help="bring the scenes of Debian's opencv-doc, or visp-images-data's sequences, and end",
    )


MODEL_HELP = '8-bit network, 400x640 but for tracks: superpoint (default), superpoint_small, file'
WEIGHTS_HELP = 'float network, named likewise or .npz, .onnx, .pth (default: that of the model)'


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
    settings = replace(SETTINGS, threshold=args.threshold)
    material = own_material(args.images) if args.images else protocol_material(args.allow_missing)
    if material.missing:
        log.warning(f'missing, so that figures do not compare: {", ".join(material.missing)}')
    with ExitStack() as stack:
        model = open_runtime(find_model(args.model, None))
        stack.callback(model.close)
        weights = float_runtime(find_weights(args.weights, args.model))
        stack.callback(weights.close)
        report = report_on(
            material,
            {'float': weights, 'u8' if model.descriptors.quantization else 'model': model},
            1 if args.quick else SEEDS,
            args.subpixel,
            partial(tqdm, desc='evaluating', unit='pair', leave=False),
            settings,
        )
    print(table(report))
    if args.json:
        write_atomically(args.json, f'{json.dumps(report, indent=1, allow_nan=False)}\n'.encode())
    if args.plot:
        write_atomically(args.plot, cv2.imencode('.png', chart(report))[1].tobytes())
    return 0
