"""
Measure what the tracks are worth to visual-inertial odometry: errors of its trajectories.

  superpoint_rknn vio --json vio.json --out out/vio
  superpoint_rknn vio MH_01_easy
  superpoint_rknn vio drive.mcap --calibration camchain-imucam.yaml --truth truth.tum

The tracks of an image sequence and IMU samples are given to an estimator (a sliding window of
keyframes, on GTSAM), which is started at several times; medians over all starts and IMU seeds are
reported. Rows: superpoint and superpoint_small (the shipped networks), corners (Shi-Tomasi, in the
same tracker), every_third (superpoint, with keypoints for every third image only).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from superpoint_rknn.evaluate.rooms.sequences import DESCRIPTIONS
from superpoint_rknn.files import check_output, write_atomically
from superpoint_rknn.progress import tqdm
from superpoint_rknn.vio.front_end import ROWS, TrackHistory, track_row
from superpoint_rknn.vio.inputs import open_recording
from superpoint_rknn.vio.plots import median_run, plot
from superpoint_rknn.vio.recordings import Recording, rendered
from superpoint_rknn.vio.report import Runs, difference_to_corners, row_of, table
from superpoint_rknn.vio.runs import run as run_estimator

SEQUENCES = ('easy', 'fast', 'elight', 'loop')
TUM_HEADER = 'time [s], x, y, z [m], quaternion x, y, z, w'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `superpoint_rknn vio`."""
    add = parser.add_argument
    add(
        'source',
        type=Path,
        nargs='?',
        help='bag with images and sensor_msgs/Imu, or EuRoC sequence (default: rendered '
        f'sequences: {", ".join(SEQUENCES)})',
    )
    add(
        '--sequence',
        action='append',
        choices=list(DESCRIPTIONS),
        help='rendered sequence; may be repeated',
    )
    add('--row', action='append', choices=ROWS, help='may be repeated (default: all)')
    add(
        '--starts',
        type=int,
        default=10,
        help='starts of the estimator, spread over the first half of the images; each run lasts '
        'half of them, a single one all (default: 10)',
    )
    add('--seeds', type=int, default=3, help='of rendered IMU noise and bias (default: 3)')
    add('--calibration', type=Path, help='Kalibr camchain with T_cam_imu, or sensor.yaml of EuRoC')
    add('--truth', type=Path, help='TUM file of the body')
    add('--topic', help='image topic of a bag (default: the one with the most images)')
    add('--json', type=Path, metavar='FILE', help='write the results')
    add('--out', type=Path, metavar='DIR', help='write plots and TUM files of the median runs')


def run(args: argparse.Namespace) -> int:
    """Run `superpoint_rknn vio`; return the exit code: 1 if no run of a row has started."""
    check_output(args.json, '.json')
    if args.starts < 1 or args.seeds < 1:
        raise ValueError('--starts, --seeds: expected at least 1')
    for name in ('calibration', 'truth', 'topic'):
        if args.source is None and getattr(args, name):
            raise ValueError(f'--{name}: not an option of rendered sequences')
    if args.source is not None and args.sequence:
        raise ValueError(f'{args.source} and --sequence: expected one of them')
    rows = list(dict.fromkeys(args.row or ROWS))
    entries = []
    for recording in _recordings(args):
        entry = _measure(recording, rows, args.starts, args.out)
        entries.append(entry)
        print(table(entry), flush=True)
        if args.json:  # after each sequence: an interruption loses one
            content = json.dumps({'sequences': entries}, indent=1, allow_nan=False)
            write_atomically(args.json, f'{content}\n'.encode())
    failed = [
        f'{row["name"]} on {entry["name"]}'
        for entry in entries
        for row in entry['rows']
        if row['failed'] == len(row['runs'])
    ]
    if failed:
        raise RuntimeError(f'all runs have failed: {", ".join(failed)}')
    return 0


def _recordings(args: argparse.Namespace) -> Iterator[Recording]:
    if args.source is not None:
        yield open_recording(args.source, args.calibration, args.truth, args.topic)
        return
    for name in dict.fromkeys(args.sequence or SEQUENCES):
        yield rendered(name, args.seeds, _Progress(f'rendering {name}', 'image'))


class _Progress:
    """Show the progress of an iteration."""

    def __init__(self, label: str, unit: str):
        self._label, self._unit = label, unit

    def __call__(self, items: Iterable[Any]) -> Iterable[Any]:
        return tqdm(items, self._label, unit=self._unit, leave=False, disable=None)


def _measure(recording: Recording, rows: list[str], starts: int, out: Path | None) -> dict:
    """Run all rows on a recording; return its entry in the report, and write its files."""
    histories: dict[str, TrackHistory] = {}
    runs: dict[str, Runs] = {}
    for row in rows:
        progress = _Progress(f'{recording.name}: tracks of {row}', 'image')
        histories[row] = track_row(recording, row, progress)
    seconds = histories[rows[0]].seconds
    run_seconds = seconds if starts == 1 else seconds / 2
    times = np.linspace(0, seconds - run_seconds, starts)
    for row in rows:
        progress = _Progress(f'{recording.name}: runs of {row}', 'start')
        runs[row] = [
            [
                run_estimator(recording, histories[row], start, run_seconds, seed)
                for seed in range(len(recording.imu))
            ]
            for start in progress(times.tolist())
        ]
    if out is not None:
        _write_files(out / recording.name, recording, runs)
    return {
        'name': recording.name,
        'seconds': seconds,
        'starts': starts,
        'run_seconds': run_seconds,
        'seeds': len(recording.imu),
        'rows': [row_of(row, recording, histories[row], runs[row]) for row in rows],
        'differences': {} if recording.truth is None else difference_to_corners(runs),
    }


def _write_files(folder: Path, recording: Recording, runs: dict[str, Runs]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for row, own in runs.items():
        chosen = median_run(own) or own[0][0]
        np.savetxt(folder / f'{row}.tum', chosen.trajectory, '%.9f', header=TUM_HEADER)
    if recording.truth is not None:
        np.savetxt(folder / 'truth.tum', recording.truth, '%.9f', header=TUM_HEADER)
        plot_file = folder / 'errors.png'
        write_atomically(plot_file, plot(recording.name, runs, recording.truth))
