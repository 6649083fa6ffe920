"""
Visual-inertial odometry in a live ROS graph: player, front end and examples/vio_node.py.

A rendered sequence is played image by image, each after the tracks of the one before, so that
nothing is dropped on a slow machine. Writes trajectory.tum, truth.tum, trajectory.png,
summary.json, bag/, camchain.yaml (calibration of the bag) and log/ into --out.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path

import rendered_bag
import vio_summary
from live_view import LiveView

from superpoint_rknn.evaluate.rooms import camera
from superpoint_rknn.evaluate.rooms.sequences import (
    DESCRIPTIONS,
    SECONDS,
    RenderedSequence,
    open_sequence,
)
from superpoint_rknn.processes import ProcessError, ProcessGroup
from superpoint_rknn.progress import tqdm

HERE = Path(__file__).parent
CHECKOUT = HERE.parent
START_TIMEOUT = 150.0  # [s], longer than that of the player, which says what is missing
STEP_TIMEOUT = 60.0  # [s] for one percent of the messages
END_TIMEOUT = 300.0  # [s] for the estimator to process what waits
FRONT_END = {
    'feature.format': 'vins_fusion',
    'feature.rate': 10.0,
    'keypoints_wait': 10.0,  # [s] every image gets its keypoints, also on a slow machine
    # They only join tracks across gaps, which `feature` does not do, at times that depend on the
    # speed of the machine.
    'descriptors.rate': 0.0,
}


def play(out: Path, sequence: RenderedSequence, model: str, view: LiveView) -> dict:
    """Play the bag in `out` through the graph; returns the report of the player."""
    log = out / 'log'
    log.mkdir(exist_ok=True)
    for old in log.glob('*.log'):
        old.unlink()
    python = sys.executable
    values = {**FRONT_END, **({'model': model} if model else {})}
    parameters = [text for name, v in values.items() for text in ('-p', f'{name}:={v}')]
    config = ['--params-file', CHECKOUT / 'config' / 'mono_30hz.yaml', '-r', '__ns:=/cam0']
    pose = ', '.join(f'{value:.12f}' for value in camera.BODY_FROM_CAMERA.ravel())
    with ProcessGroup(log, view.domain) as graph:
        front_end = ['-m', 'superpoint_rknn.nodes.front_end', '--ros-args', *config, *parameters]
        graph.start('front_end', python, *front_end)
        node = [
            CHECKOUT / 'examples' / 'vio_node.py',
            '--ros-args',
            '-r',
            'feature:=/cam0/feature',
        ]
        node += ['-r', 'restart:=/cam0/restart', '-p', f'body_from_camera:=[{pose}]']
        node += ['-p', f'focal:={camera.MATRIX[0, 0]}']
        node += ['-p', 'qos_overrides./imu.subscription.reliability:=reliable']
        graph.start('vio_node', python, *node)
        view.start(graph)
        paths = [out / 'bag', out / 'trajectory.tum']
        player = graph.start('player', python, HERE / 'vio_player.py', *paths, pipes=True)
        graph.read_line(player, START_TIMEOUT)
        with tqdm(total=100, desc=f'playing {sequence.name}', unit='%', disable=None) as bar:
            percent = 0
            while percent < 100:
                before, percent = percent, int(graph.read_line(player, STEP_TIMEOUT))
                bar.update(percent - before)
        report = json.loads(graph.read_line(player, END_TIMEOUT))
        graph.finish(player)
    return report


def run(out: Path, name: str, seconds: float, imu_seed: int, model: str, view: LiveView) -> dict:
    """
    Run a sequence; writes all files into `out` and returns the summary.

    view: shows the graph, if that is wanted.

    Raises RuntimeError if a check of the run fails; ProcessError, OSError or ValueError.
    """
    out.mkdir(parents=True, exist_ok=True)
    progress = lambda items: tqdm(items, f'rendering {name}', unit='image', disable=None)  # noqa: E731
    sequence = open_sequence(name, seconds, progress=progress)
    rendered_bag.write(out / 'bag', sequence, imu_seed)
    rendered_bag.write_camchain(out / 'camchain.yaml')
    start = time.monotonic()
    report = play(out, sequence, model, view)
    settings = {'sequence': name, 'seconds': seconds, 'imu_seed': imu_seed}
    summary = vio_summary.summarise(out, sequence, report)
    figures = {**settings, **summary, 'wall_s': round(time.monotonic() - start, 1)}
    (out / 'summary.json').write_text(json.dumps(figures, indent=2) + '\n')
    if wrong := vio_summary.problems(figures):
        raise RuntimeError('; '.join(wrong))
    return figures


def print_summary(out: Path, figures: dict) -> None:
    """Print the figures of a run and the names of its files."""
    width = max(map(len, figures))
    print('\n'.join(f'{name:<{width}}  {value}' for name, value in figures.items()))
    files = 'summary.json, trajectory.tum, truth.tum, trajectory.png, bag/, camchain.yaml, log/'
    print(f'written to {out}: {files}')


def main() -> int:
    """Run from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('--sequence', choices=list(DESCRIPTIONS), default='easy')
    parser.add_argument('--seconds', type=float, default=SECONDS)
    parser.add_argument('--imu-seed', type=int, default=0, help='of noise and bias of the IMU')
    parser.add_argument('--model', default='', help="the node's parameter `model`")
    parser.add_argument('--out', type=Path, default=CHECKOUT / 'out' / 'vio')
    parser.add_argument('--view', action='store_true', help='show it live in a browser, too')
    args = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        with LiveView(args.view) as view:
            figures = run(args.out, args.sequence, args.seconds, args.imu_seed, args.model, view)
            print_summary(args.out, figures)
            view.wait()
    except (OSError, ProcessError, RuntimeError, ValueError) as error:
        print(f'vio: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('vio: interrupted', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
