"""
Measure the time that the host takes for each image, in turn with straightforward baselines.

Every step is timed on one core, on real images and on recorded outputs of the network. With
ROS 2, messages and the superpoint and tracker nodes are measured too.

Example:
-------
  superpoint_rknn bench --json bench.json --plot bench.png
  superpoint_rknn bench --check
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from superpoint_rknn.bench.graph import (
    RATES,
    first_drop,
    has_ros,
    node_figures,
    ros_rows,
    start_figures,
    tracker_figures,
)
from superpoint_rknn.bench.recordings import IMAGES, load_recording, recording_path
from superpoint_rknn.bench.report import bar_chart, check_plot, table
from superpoint_rknn.bench.steps import numeric_steps
from superpoint_rknn.bench.timing import pinned_to_one_core, time_step
from superpoint_rknn.memory import keep_freed_memory
from superpoint_rknn.runtimes.board import board_model
from superpoint_rknn.runtimes.runtime import RuntimeUnavailableError

SIZES = ((400, 640), (480, 640))
RECORDED = Path(__file__).with_name('ratios.json')
ROUNDS, ROS_ROUNDS, SECONDS = 400, 300, 5.0
QUICK_ROUNDS, QUICK_SECONDS = 5, 0.5
CACHE = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'superpoint_rknn'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to a parser."""
    add = parser.add_argument
    add('--json', type=Path, metavar='FILE', help='write all figures as JSON')
    add('--plot', type=Path, metavar='FILE', help='write a chart of the rows (.png, .svg, .pdf)')
    add('--check', action='store_true', help='fail if a ratio is below the recorded one')
    add('--quick', action='store_true', help='only test that it runs; the times mean nothing')
    add(
        '--images',
        type=Path,
        metavar='SOURCE',
        help='folder, video or bag of images (default: photographs)',
    )
    add(
        '--recordings',
        type=Path,
        metavar='DIR',
        default=CACHE,
        help=f"folder that caches the network's outputs (default: {CACHE})",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return 0 unless `--check` finds a ratio too low."""
    if arguments.plot:
        check_plot(arguments.plot)
    report = measure(arguments.recordings, arguments.images, arguments.quick)
    print(table(report))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + '\n', encoding='utf-8')
    if arguments.plot:
        bar_chart(report['rows']).savefig(arguments.plot)
    return check(report['rows'], json.loads(RECORDED.read_text())) if arguments.check else 0


def measure(folder: Path, images: Path | None = None, quick: bool = False) -> dict:
    """
    Measure all that can be measured on this machine; returns {machine, rows, node, ...}.

    folder: cache of the recordings. images: source of the images; None: photographs.
    quick: do as little as shows that everything runs.
    Raises RuntimeError or ValueError if nothing can be measured, OSError for files.
    """
    machine = describe_machine() | {'keeps_freed_memory': keep_freed_memory()}
    ros = has_ros()
    report: dict = {'machine': machine, 'rows': []}
    if not ros:
        warn('no rclpy or no messages of this package: messages and nodes are not measured')
    for size in SIZES[:1] if quick else SIZES:
        suffix = '' if size == SIZES[0] else '_{}x{}'.format(*size)
        try:
            recording = load_recording(folder, size, images, 1 if quick else IMAGES)
        except RuntimeUnavailableError as error:
            if size == SIZES[0]:
                raise
            warn(f'{suffix[1:]} is not measured: {error}')
            continue
        with pinned_to_one_core():
            rounds = QUICK_ROUNDS if quick else ROUNDS
            rows = [time_step(step, rounds) for step in numeric_steps(recording)]
        path = recording_path(folder, size)
        if ros:
            rows += ros_rows(path, QUICK_ROUNDS if quick else ROS_ROUNDS)
        report['rows'] += [row | {'name': row['name'] + suffix, 'size': size} for row in rows]
    if ros:
        report |= _measure_nodes(recording_path(folder, SIZES[0]), quick)
    machine['load'].append(os.getloadavg()[0])
    return report


def _measure_nodes(path: Path, quick: bool) -> dict:
    """Figures of the superpoint node, of its start, and of both nodes."""
    seconds = QUICK_SECONDS if quick else SECONDS
    figures = [node_figures(path, rate, seconds) for rate in (RATES[-1:] if quick else RATES)]
    start = start_figures(path)
    if quick:
        return {'node': figures, 'start': start}
    no_drop, first = first_drop(path, figures, seconds)
    # a rate that gives every image descriptors
    figures.append(node_figures(path, RATES[0], seconds, descriptors_rate=200.0))
    return {
        'node': figures,
        'start': start,
        'no_drop_hz': no_drop,
        'first_drop_hz': first,
        'tracker': [tracker_figures(path, rate, seconds) for rate in RATES[:2]],
    }


def check(rows: list[dict], recorded: dict) -> int:
    """Compare with recorded ratios; print those that are too low and return the exit code."""
    tolerance = recorded['tolerance']
    ratios = {row['name']: row['ratio'] for row in rows}
    code = 0
    for name, ratio in recorded['ratios'].items():
        if name in ratios and ratios[name] < ratio * (1 - tolerance):
            print(
                f'superpoint_rknn: {name}: ratio to the baseline {ratios[name]:.2f}, expected '
                f'{ratio:.2f} less at most {tolerance:.0%}',
                file=sys.stderr,
            )
            code = 1
    return code


def describe_machine() -> dict[str, Any]:
    """Processor, versions and load of this machine."""
    return {
        'board': board_model(),
        'cpu': _cpu(),
        'architecture': platform.machine(),
        'cores': len(os.sched_getaffinity(0)),
        'python': platform.python_version(),
        'numpy': np.__version__,
        'opencv': cv2.__version__,
        'load': [os.getloadavg()[0]],
    }


def _cpu() -> str:
    info = Path('/proc/cpuinfo')
    lines = info.read_text(encoding='utf-8').splitlines() if info.is_file() else []
    fields = dict(line.split(':', 1) for line in lines if ':' in line)
    by_name = {key.strip(): value.strip() for key, value in fields.items()}
    return by_name.get('model name') or by_name.get('Hardware') or platform.machine()


def warn(text: str) -> None:
    """Print a warning to stderr."""
    print(f'superpoint_rknn: {text}', file=sys.stderr)
