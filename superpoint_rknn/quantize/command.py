"""`superpoint_rknn quantize`: quantize the network to 8 bits for the CPU runtime, as RKNN does."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterable
from functools import partial
from itertools import chain
from pathlib import Path

from superpoint_rknn.files import write_atomically
from superpoint_rknn.network.network import check_size, float_graph
from superpoint_rknn.network.weights import WEIGHTS_HELP, load_for_8_bits
from superpoint_rknn.quantize.calibration import (
    Progress,
    calibration_images,
    grey_range,
    ramp_image,
)
from superpoint_rknn.quantize.card import model_card
from superpoint_rknn.quantize.integer_network import METHODS, integer_graph
from superpoint_rknn.runtimes.model_files import find_weights
from superpoint_rknn.sources.frame import Frame
from superpoint_rknn.sources.open import open_source, thinned

SEMI = ('float', 'uint8')
STD_HELP = (
    'divisor of the grey values before the float network: 255 if its input is 0 to 1 '
    '(default: that of its model card, else tested)'
)
IMAGES_HELP = 'calibration images: folders of pictures, pictures, videos or rosbags'
log = logging.getLogger(__name__)


def quantize(
    weights: Path,
    images: Iterable[Frame],
    output: Path,
    size: tuple[int, int] = (400, 640),
    *,
    ranges: str = 'minmax',
    percentile: float = 99.99,
    semi: str = 'float',
    ramp: bool = True,
    input_std: float | None = None,
    progress: Progress = iter,
) -> dict:
    """
    Write a quantized network as ONNX, and its model card as JSON beside it.

    weights, input_std: see load_weights. size: height and width of the model input [px].
    ranges: 'minmax' of the activations, or 'percentile', which excludes 100 - `percentile`
    percent of their values, half of them at each end.
    semi: 'float' or 'uint8', type of the detector's last convolution.
    ramp: add an image with all grey values to the calibration images, so that the bytes of a
    camera image are the model input without conversion.
    Returns the model card. Raises ValueError or ModelError for input that cannot be quantized,
    OSError for files.
    """
    if ranges not in METHODS:
        raise ValueError(f'ranges {ranges!r} is none of {", ".join(METHODS)}')
    if semi not in SEMI:
        raise ValueError(f'semi {semi!r} is none of {", ".join(SEMI)}')
    if not 50 < percentile < 100:
        raise ValueError(f'percentile {percentile} is not between 50 and 100')
    weights, output = Path(weights), Path(output)
    if output.suffix != '.onnx' or output.with_suffix('.json') == weights.with_suffix('.json'):
        raise ValueError(f'{output}: the output needs the suffix .onnx and a name of its own')
    check_size(size)
    network = load_for_8_bits(weights, input_std)
    calibration = calibration_images(images, size)
    lowest, highest = grey_range(calibration)
    if ramp:
        calibration.append(ramp_image(size))
    elif ranges == 'minmax' and (lowest, highest) != (0, 255):
        log.warning(
            f'the calibration images span the grey values {lowest} to {highest}, not 0 to 255: '
            'camera images need an input table, and values outside are clipped. '
            'Omit --no-ramp to avoid that.'
        )
    model = integer_graph(
        float_graph(network, size),
        calibration,
        ranges=ranges,
        percentile=percentile,
        semi=semi,
        progress=progress,
    )
    content = model.SerializeToString(deterministic=True)
    method: dict[str, object] = {'ranges': ranges, 'semi': semi}
    if ranges == 'percentile':
        method['percentile'] = percentile
    card = model_card(output.stem, content, model, weights, calibration, method)
    write_atomically(output, content)
    write_atomically(output.with_suffix('.json'), f'{json.dumps(card, indent=2)}\n'.encode())
    return card


def image_size(text: str) -> tuple[int, int]:
    """Parse 'HxW': height and width of the model input [px]."""
    height, _, width = text.lower().partition('x')
    try:
        return check_size((int(height), int(width)))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f'{text!r}: expected HxW, both divisible by 8, as in 400x640'
        ) from error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `superpoint_rknn quantize`."""
    parser.description = (
        'Quantize a SuperPoint network to 8 bits for the CPU runtime, with the same scheme as on '
        'the NPU. Writes an ONNX file and its model card (JSON).'
    )
    parser.epilog = (
        'Example: superpoint_rknn quantize my_weights.npz --images my_pictures/ my.mcap '
        '--size 480x752 -o superpoint_480x752_u8.onnx'
    )
    add = parser.add_argument
    add('weights', help=WEIGHTS_HELP)
    add('-i', '--images', type=Path, nargs='+', required=True, metavar='SOURCE', help=IMAGES_HELP)
    add('-o', '--output', type=Path, required=True, help='ONNX file to write')
    add('--size', type=image_size, default=(400, 640), metavar='HxW', help='default: 400x640')
    add('--input-std', type=float, metavar='STD', help=STD_HELP)
    add('--max-images', type=int, default=64, help='of each source, evenly spread (default: 64)')
    add(
        '--ranges',
        choices=METHODS,
        default='minmax',
        help='ranges of the activations (default: minmax)',
    )
    add('--percentile', type=float, default=99.99, help='of --ranges percentile (default: 99.99)')
    add('--semi', choices=SEMI, default='float', help='type of the logits (default: float)')
    add(
        '--no-ramp',
        dest='ramp',
        action='store_false',
        help='do not add an image with all grey values',
    )


def run(args: argparse.Namespace) -> int:
    """Run `superpoint_rknn quantize`; returns the exit code. Raises the errors of `quantize`."""
    from superpoint_rknn.progress import tqdm

    if args.max_images < 1:
        raise ValueError(f'--max-images {args.max_images}: at least one is needed')
    if not args.output.parent.is_dir():
        raise FileNotFoundError(f'{args.output.parent}: no such folder')
    sources = [open_source(path) for path in args.images]
    card = quantize(
        find_weights(args.weights),
        chain.from_iterable(thinned(source, args.max_images) for source in sources),
        args.output,
        args.size,
        ranges=args.ranges,
        percentile=args.percentile,
        semi=args.semi,
        ramp=args.ramp,
        input_std=args.input_std,
        progress=partial(tqdm, desc='calibrating', unit='image', leave=False),
    )
    scale, zero_point = card['descriptors']['scale'], card['descriptors']['zero_point']
    print(
        f'{args.output}: {card["sha256"][:8]}, from {len(card["calibration"])} images, input '
        f'scale {card["input"]["scale"]:.6g} zero point {card["input"]["zero_point"]}, '
        f'descriptors scale {scale:.6g} zero point {zero_point}'
    )
    return 0
