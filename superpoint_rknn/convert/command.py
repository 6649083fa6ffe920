"""`superpoint_rknn convert`: convert the network to .rknn for a Rockchip NPU."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path

from superpoint_rknn.convert import build as rknn_build
from superpoint_rknn.convert import toolkit1
from superpoint_rknn.convert.build import build
from superpoint_rknn.convert.card import rknn_card
from superpoint_rknn.convert.toolkit1 import run_script, write_folder
from superpoint_rknn.convert.toolkit2 import Toolkit, find_toolkit
from superpoint_rknn.files import write_atomically
from superpoint_rknn.network.network import Weights, check_size
from superpoint_rknn.network.weights import WEIGHTS_HELP, load_for_8_bits
from superpoint_rknn.quantize.calibration import (
    CalibrationImage,
    calibration_images,
    ramp_image,
)
from superpoint_rknn.quantize.command import IMAGES_HELP, STD_HELP, image_size
from superpoint_rknn.runtimes.model_files import find_weights
from superpoint_rknn.sources.frame import Frame
from superpoint_rknn.sources.open import open_source, thinned

TARGETS = (*toolkit1.TARGETS, *rknn_build.TARGETS)
TOOLKIT_HELP = 'interpreter that has the toolkit (default: that of ./dev rknn-toolkit)'
BAR = '{desc}: {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]'


def convert(
    weights: Path,
    images: Iterable[Frame],
    output: Path,
    target: str,
    size: tuple[int, int] = (400, 640),
    *,
    per_channel: bool = False,
    input_std: float | None = None,
    toolkit: Path | None = None,
    on_progress: Callable[[float], None] = lambda fraction: None,
) -> dict:
    """
    Write a network for an NPU as .rknn, and its model card as JSON beside it.

    The input and the descriptors are in 8 bits, the detector computes in float16. An image with
    all grey values is added to the calibration images, so that the bytes of a camera image are
    the model input without conversion.
    For RV1126 and RV1109, `output` is a folder for rknn-toolkit 1.7; see toolkit1.write_folder.
    weights, input_std: see load_weights. target: one of TARGETS. size: height and width [px].
    per_channel, on_progress, toolkit: see build, Toolkit and find_toolkit.
    Returns the model card. Raises ValueError or ModelError for input that cannot be converted,
    RuntimeError with the error message of the toolkit, OSError for files; no partial file is left.
    """
    weights, output = Path(weights), Path(output)
    if target not in TARGETS:
        raise ValueError(f'target {target!r} is none of {", ".join(TARGETS)}')
    check_size(size)
    if target in toolkit1.TARGETS:
        if per_channel:
            raise ValueError(f'{target}: rknn-toolkit 1.7 does not support per-channel scales')
        network, calibration = _read_inputs(weights, input_std, images, size)
        return write_folder(output, network, weights, calibration, target=target, size=size)
    if output.suffix != '.rknn' or output.with_suffix('.json') == weights.with_suffix('.json'):
        raise ValueError(f'{output}: the output needs the suffix .rknn and a name of its own')
    interpreter = find_toolkit(toolkit)
    network, calibration = _read_inputs(weights, input_std, images, size)
    with Toolkit(interpreter, on_progress) as running:
        quantizations = build(
            running, network, calibration, size=size, target=target, per_channel=per_channel
        )
        running.request('export', path='network.rknn')
        content = (running.folder / 'network.rknn').read_bytes()
    card = rknn_card(
        output.stem,
        content,
        target=target,
        size=size,
        quantizations=quantizations,
        per_channel=per_channel,
        weights=weights,
        calibration=calibration,
        toolkit_version=running.version,
    )
    write_atomically(output, content)
    write_atomically(output.with_suffix('.json'), f'{json.dumps(card, indent=2)}\n'.encode())
    return card


def _read_inputs(
    weights: Path, input_std: float | None, images: Iterable[Frame], size: tuple[int, int]
) -> tuple[Weights, list[CalibrationImage]]:
    """Read the float network and the calibration images; the ramp is the last one."""
    network = load_for_8_bits(weights, input_std)
    return network, [*calibration_images(images, size), ramp_image(size)]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `superpoint_rknn convert`."""
    parser.description = (
        'Convert a SuperPoint network for a Rockchip NPU: 8-bit input, float16 detector, 8-bit '
        'descriptors. Writes a .rknn file and its model card (JSON) with rknn-toolkit2, which '
        './dev rknn-toolkit installs. For RV1126 and RV1109 it writes a folder for rknn-toolkit '
        '1.7, and runs that toolkit if --toolkit names an interpreter that has it.'
    )
    parser.epilog = (
        'Example: superpoint_rknn convert --target rk3588 --images my_pictures/ my.mcap '
        '--size 480x752'
    )
    add = parser.add_argument
    add('--target', choices=TARGETS, required=True, help='the chip')
    add('-i', '--images', type=Path, nargs='+', required=True, metavar='SOURCE', help=IMAGES_HELP)
    add('--weights', default='', metavar='FILE', help=f'{WEIGHTS_HELP} (default: superpoint)')
    add('--size', type=image_size, default=(400, 640), metavar='HxW', help='default: 400x640')
    add(
        '-o',
        '--output',
        type=Path,
        help='file or folder to write (default: named after weights, size and target)',
    )
    add('--input-std', type=float, metavar='STD', help=STD_HELP)
    add('--max-images', type=int, default=16, help='of each source, evenly spread (default: 16)')
    add('--per-channel', action='store_true', help='one scale per output channel of the weights')
    add('--toolkit', type=Path, metavar='PYTHON', help=TOOLKIT_HELP)


def run(args: argparse.Namespace) -> int:
    """Run `superpoint_rknn convert`; returns the exit code. Raises the errors of `convert`."""
    from superpoint_rknn.progress import tqdm

    if args.max_images < 1:
        raise ValueError(f'--max-images {args.max_images}: at least one is needed')
    weights = find_weights(args.weights)
    output = args.output or default_output(weights, args.size, args.target)
    if not output.parent.is_dir():
        raise FileNotFoundError(f'{output.parent}: no such folder')
    sources = [open_source(path) for path in args.images]
    bar = tqdm(total=100, desc='calibrating', leave=False, bar_format=BAR)
    with bar:
        card = convert(
            weights,
            chain.from_iterable(thinned(source, args.max_images) for source in sources),
            output,
            args.target,
            args.size,
            per_channel=args.per_channel,
            input_std=args.input_std,
            toolkit=args.toolkit,
            on_progress=lambda fraction: bar.update(round(100 * fraction) - bar.n),
        )
    images = f'{len(card["calibration"])} calibration images'
    if args.target not in toolkit1.TARGETS:
        descriptors = card['descriptors']
        print(
            f'{output}: {card["sha256"][:8]}, {images}, input scale {card["input"]["scale"]:.6g} '
            f'zero point {card["input"]["zero_point"]}, descriptors scale '
            f'{descriptors["scale"]:.6g} zero point {descriptors["zero_point"]}'
        )
    elif args.toolkit:
        print(f'{run_script(output, args.toolkit)}: {images}; see {output / "README.txt"}')
    else:
        print(f'{output}: {images}; {output / "README.txt"} describes the next steps')
    return 0


def default_output(weights: Path, size: tuple[int, int], target: str) -> Path:
    """Name in the current folder, which follows the names of the shipped models."""
    stem = f'{weights.stem}_{size[0]}x{size[1]}_{target}'
    return Path(stem if target in toolkit1.TARGETS else f'{stem}.rknn')
