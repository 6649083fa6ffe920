"""
Compare SuperPoint, float and 8-bit, with ORB and SIFT: repeatability and matching.

The protocol (docs/evaluation.md): 24 photographs with 13 random homographies and light changes
each, 312 pairs of 640x400, 500 points per image; repeatability and mean matching accuracy at
3 px, share of homographies correct within 1, 3 and 5 px; one real pair; and two real stereo
pairs with the true disparity.

Example:
-------
  superpoint_rknn evaluate --fetch
  superpoint_rknn evaluate --json evaluation.json --plot evaluation.png
  superpoint_rknn evaluate --quick --model my_u8.onnx --weights my_weights.npz
  superpoint_rknn evaluate --images my_pictures/
  superpoint_rknn evaluate --kinds --json kinds.json
  superpoint_rknn evaluate --pairs my_pairs.json
  superpoint_rknn evaluate --tracks --fetch
  superpoint_rknn evaluate --tracks --json tracks.json

With --kinds: one pair of each scene and kind of change (zoom, tilt, rotation, darkness, blur,
low texture). With --pairs: error of the relative pose of images of your own whose pose is known
(docs/evaluation.md). With --tracks: length and accuracy of the tracker's tracks with the network's
keypoints, with Shi-Tomasi corners and with ORB (docs/tracking.md).
"""

from __future__ import annotations

import argparse
import json
import logging
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from superpoint_rknn.dependencies import check_matplotlib
from superpoint_rknn.evaluate.chart import chart
from superpoint_rknn.evaluate.features import SETTINGS, float_runtime
from superpoint_rknn.evaluate.fetch import fetch_scenes
from superpoint_rknn.evaluate.kinds import report_on_kinds
from superpoint_rknn.evaluate.posed import read_pairs, report_on_pairs
from superpoint_rknn.evaluate.protocol import report_on
from superpoint_rknn.evaluate.report import kinds_table, posed_table, table
from superpoint_rknn.evaluate.scenes import Material, own_material, protocol_material
from superpoint_rknn.evaluate.tracks import command as tracks_command
from superpoint_rknn.files import check_output, write_atomically
from superpoint_rknn.runtimes.model_files import find_model, find_weights
from superpoint_rknn.runtimes.open import open_runtime

SEEDS = 13
QUICK_STEP = 3  # every third scene with --kinds --quick
REFUSED = {
    'kinds': ('plot',),
    'pairs': ('plot', 'images', 'allow_missing', 'fetch', 'quick'),
}  # options by mode; those of --tracks are its own
log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `superpoint_rknn evaluate`."""
    add = parser.add_argument
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument(
        '--tracks', action='store_true', help='evaluate tracks in image sequences instead of pairs'
    )
    modes.add_argument(
        '--kinds',
        action='store_true',
        help='evaluate one pair per scene of each kind of change instead of 13 random ones',
    )
    modes.add_argument(
        '--pairs',
        type=Path,
        metavar='FILE',
        help='evaluate pairs of images with known camera matrices and relative poses',
    )
    add('--json', type=Path, metavar='FILE', help='write all results')
    add('--plot', type=Path, metavar='FILE.png', help='write a bar chart (needs matplotlib)')
    add(
        '--quick',
        action='store_true',
        help='1 pair per scene instead of 13; 8 scenes with --kinds; 40 images per sequence',
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
    from superpoint_rknn.progress import tqdm

    if args.tracks:
        check_output(args.json, '.json')
        return tracks_command.run(args)
    for mode, refused in REFUSED.items():
        for name in refused:
            if getattr(args, mode) and getattr(args, name):
                raise ValueError(f'--{name.replace("_", "-")}: not an option with --{mode}')
    if args.fetch:
        print(f'scenes: {fetch_scenes()}')
        return 0
    check_output(args.json, '.json')
    check_output(args.plot, '.png')
    if args.plot:
        check_matplotlib()
    settings = replace(SETTINGS, threshold=args.threshold)
    posed_pairs = read_pairs(args.pairs) if args.pairs else []
    material = material_of(args)
    with ExitStack() as stack:
        model = open_runtime(find_model(args.model, None))
        stack.callback(model.close)
        weights = float_runtime(find_weights(args.weights, args.model))
        stack.callback(weights.close)
        runtimes = {'float': weights, 'u8' if model.descriptors.quantization else 'model': model}
        progress = partial(tqdm, desc='evaluating', unit='pair', leave=False)
        common = (args.unrefined, progress, settings)
        if args.pairs:
            report = report_on_pairs(posed_pairs, runtimes, *common)
            print(posed_table(report))
        elif args.kinds:
            if args.quick:
                material = replace(material, scenes=material.scenes[::QUICK_STEP])
            report = report_on_kinds(material, runtimes, *common)
            print(kinds_table(report))
        else:
            report = report_on(material, runtimes, 1 if args.quick else SEEDS, *common)
            print(table(report))
    if args.json:
        write_atomically(args.json, f'{json.dumps(report, indent=1, allow_nan=False)}\n'.encode())
    if args.plot:
        write_atomically(args.plot, chart(report))
    return 0


def material_of(args: argparse.Namespace) -> Material:
    """Scenes of the protocol or of --images; none for --pairs. Warns of missing ones."""
    if args.pairs:
        return Material([])
    if args.images:
        return own_material(args.images)
    material = protocol_material(args.allow_missing)
    if material.missing:
        log.warning(f'results are not comparable, missing scenes: {", ".join(material.missing)}')
    return material
