"""`superpoint_rknn analyze`: quantization errors by layer, as a table and an HTML report."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
from collections.abc import Iterable
from datetime import datetime, timezone
from functools import partial
from itertools import chain
from pathlib import Path

from superpoint_rknn import __version__
from superpoint_rknn.analyze.analysis import (
    Analysis,
    analyze,
    analyze_simulator,
    check_origin,
)
from superpoint_rknn.analyze.board import BoardAnalysis, analyze_board
from superpoint_rknn.analyze.board_record import read_record
from superpoint_rknn.analyze.diagnosis import Finding, diagnose, worst_layer
from superpoint_rknn.analyze.html_report import html_report
from superpoint_rknn.analyze.integer_trace import IntegerTrace
from superpoint_rknn.analyze.text_report import text_report
from superpoint_rknn.dependencies import check_matplotlib
from superpoint_rknn.files import write_atomically
from superpoint_rknn.network.network import Weights
from superpoint_rknn.network.weights import WEIGHTS_HELP, load_for_8_bits
from superpoint_rknn.quantize.calibration import (
    CalibrationImage,
    Progress,
    calibration_image,
    ramp_image,
)
from superpoint_rknn.quantize.command import STD_HELP
from superpoint_rknn.runtimes.model_files import find_model, find_weights
from superpoint_rknn.sources.open import open_source, thinned

CALIBRATION_IMAGES = 64  # of each source, as in `superpoint_rknn quantize`


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `superpoint_rknn analyze`."""
    parser.description = (
        'Compare a quantized network with the float network: errors and use of the 8-bit range '
        'of each layer, heat maps, keypoints, descriptors, and what to try. Prints a table and '
        'writes a report as one HTML file.'
    )
    parser.epilog = (
        'Example: superpoint_rknn analyze --images my_pictures/ -o report.html\n'
        '         superpoint_rknn analyze --board recorded/ (from doctor --record recorded/)'
    )
    add = parser.add_argument
    add('--weights', default='', help=f'{WEIGHTS_HELP} (default: that of the model)')
    add(
        '--model',
        default='',
        help='8-bit network: superpoint (default), superpoint_small, or .onnx',
    )
    add('--input-std', type=float, metavar='STD', help=STD_HELP)
    add('-i', '--images', type=Path, nargs='+', default=[], metavar='SOURCE', help=IMAGES_HELP)
    add('--max-images', type=int, default=8, help='of each source, evenly spread (default: 8)')
    add('--simulator', nargs='?', const='rv1126b', metavar='TARGET', help=SIMULATOR_HELP)
    add('--calibration', type=Path, nargs='+', metavar='SOURCE', help=CALIBRATION_HELP)
    add('--per-channel', action='store_true', help='simulate per-channel scales of the weights')
    add('--toolkit', type=Path, metavar='PYTHON', help='interpreter that has rknn-toolkit2')
    add('--board', type=Path, metavar='DIR', help='recording of doctor --record on a board')
    add('-o', '--output', type=Path, default=Path('analysis.html'), help='default: analysis.html')
    add('--json', type=Path, metavar='FILE', help='also write the figures as JSON')


IMAGES_HELP = 'images to compare on: folders of pictures, pictures, videos or rosbags'
SIMULATOR_HELP = 'also analyze this chip in the simulator of rknn-toolkit2 (default: rv1126b)'
CALIBRATION_HELP = 'calibration images of the simulator (default: --images, and a ramp)'


def run(args: argparse.Namespace) -> int:
    """
    Run `superpoint_rknn analyze`; returns the exit code.

    Raises ValueError or ModelError for input that cannot be analyzed, RuntimeError if a network
    fails, OSError for files.
    """
    check_matplotlib()
    _check(args)
    weights_path = find_weights(args.weights, args.model)
    network = IntegerTrace(find_model(args.model, None))
    weights = load_for_8_bits(weights_path, args.input_std)
    check_origin(weights, network.layers, str(network.path))
    images = _images(args.images, args.max_images, network.size)
    analyses = []
    if images:
        analyses.append(analyze(weights, network, images, progress=_bar('8 bits on the CPU')))
    if args.simulator:
        analyses.append(_analyze_simulator(args, weights, images, network.size))
    board = None
    if args.board:
        board = analyze_board(weights, network, read_record(args.board))
    print(text_report(analyses, board))
    made_from = _made_from(weights_path, network, images)
    report = html_report(analyses, board, _subtitle(made_from), _readable(made_from))
    write_atomically(args.output, report.encode())
    print(f'report: {args.output}')
    if args.json:
        content = json.dumps(summary(analyses, board, made_from), indent=2, allow_nan=False)
        write_atomically(args.json, f'{content}\n'.encode())
    return 0


def summary(analyses: list[Analysis], board: BoardAnalysis | None, made_from: dict) -> dict:
    """All figures for JSON; made_from: see _made_from."""
    networks = [
        {
            **analysis.summary(),
            'worst_layer': worst_layer(analysis),
            'findings': _findings(diagnose(analysis)),
        }
        for analysis in analyses
    ]
    on_board = board and {**board.summary(), 'findings': _findings(board.findings)}
    return {**made_from, 'networks': networks, 'board': on_board}


def _findings(found: Iterable[Finding]) -> list[dict]:
    return [{**vars(finding), 'advice': list(finding.advice)} for finding in found]


def _check(args: argparse.Namespace) -> None:
    """Raise ValueError or OSError for wrong arguments before any work is done."""
    if args.max_images < 1:
        raise ValueError(f'--max-images {args.max_images}: at least one is needed')
    if args.simulator and not args.images:
        raise ValueError('--simulator needs images: name some by --images')
    if not args.images and not args.board:
        raise ValueError('name images by --images, or the recording of a board by --board')
    for path in filter(None, (args.output, args.json)):
        if not path.parent.is_dir():
            raise FileNotFoundError(f'{path.parent}: no such folder')


def _analyze_simulator(
    args: argparse.Namespace,
    weights: Weights,
    images: list[CalibrationImage],
    size: tuple[int, int],
) -> Analysis:
    from superpoint_rknn.analyze.simulator import Simulator
    from superpoint_rknn.progress import tqdm

    calibration = _images(args.calibration or [], CALIBRATION_IMAGES, size)
    with contextlib.ExitStack() as stack:
        bar = stack.enter_context(tqdm(total=1, desc='calibrating', leave=False))
        simulator = stack.enter_context(
            Simulator(
                weights,
                calibration or [*images, ramp_image(size)],
                size=size,
                target=args.simulator,
                per_channel=args.per_channel,
                toolkit=args.toolkit,
                layers=True,
                on_progress=lambda fraction: bar.update(fraction - bar.n),
            )
        )
        bar.close()
        scales = 'per channel' if args.per_channel else 'per layer'
        title = f"rknn-toolkit2 {simulator.version}'s simulator, {args.simulator}, {scales}"
        return analyze_simulator(
            weights,
            simulator,
            images,
            size=size,
            title=title,
            per_channel=args.per_channel,
            progress=_bar('simulating'),
        )


def _bar(description: str) -> Progress:
    from superpoint_rknn.progress import tqdm

    return partial(tqdm, desc=description, unit='image', leave=False)


def _images(sources: list[Path], limit: int, size: tuple[int, int]) -> list[CalibrationImage]:
    opened = [open_source(path) for path in sources]
    frames = chain.from_iterable(thinned(source, limit) for source in opened)
    images = [calibration_image(frame, size) for frame in frames]
    if sources and not images:
        raise ValueError(f'{", ".join(map(str, sources))}: no image could be read')
    return images


def _made_from(weights: Path, network: IntegerTrace, images: list[CalibrationImage]) -> dict:
    """Inputs of the analysis for JSON: files by name, without folders."""
    return {
        'weights': {'name': weights.name, 'sha256': _sha256(weights.read_bytes())},
        'model': {'name': network.path.name, 'sha256': _sha256(network.content)},
        'size': list(network.size),
        'images': [image.name for image in images],
        'version': __version__,
        'date': f'{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC',
    }


def _subtitle(made_from: dict) -> str:
    """Model, number of images and date in one line."""
    count = len(made_from['images'])
    images = f'{count} image{"" if count == 1 else "s"}'
    return f'{made_from["model"]["name"]}, {images}, {made_from["date"]}'


def _readable(made_from: dict) -> list[tuple[str, str]]:
    """Inputs of the analysis as names and values for the report."""
    weights, model = (
        f'{made_from[part]["name"]} (SHA-256 {made_from[part]["sha256"][:12]}…)'
        for part in ('weights', 'model')
    )
    return [
        ('float network', weights),
        ('8-bit network', model),
        ('model input', '{}x{}'.format(*made_from['size'])),
        ('images', ', '.join(made_from['images']) or 'none'),
        ('superpoint_rknn', made_from['version']),
        ('date', made_from['date']),
    ]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
