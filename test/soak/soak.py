"""
Run camera, superpoint node and tracker for a long time; find what grows and what gets lost.

  ./dev soak [--minutes N] [--images N] [--size HxW] [--rate HZ] [--json FILE]

The three are processes in a real ROS graph; the superpoint node returns recorded outputs of the
network. By default the camera publishes as fast as tracks arrive: it waits while 4 images have
none. The memory, file handles, threads and page faults of each process are sampled every second.
In the end every image has to be accounted for, in both nodes.

Exit code 1, and a line for each reason, if an image is unaccounted for or failed, if a process
ended, or if memory, file handles or threads grew beyond the limits. Ctrl-C ends a run early.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from soak_report import NODES, account, account_inputs, failures, growth, table
from soak_samples import Samples

from superpoint_rknn.bench.command import SIZES
from superpoint_rknn.bench.recordings import (
    VIEWS,
    Recording,
    load_recording,
    recording_path,
    write_recording,
)
from superpoint_rknn.processes import Process, ProcessError, ProcessGroup
from superpoint_rknn.progress import tqdm

HERE = Path(__file__).parent
TIMEOUT = 150.0  # [s] without a line of the camera; it is silent while the counters come to rest
WARM_UP, MAX_WARM_UP = 0.25, 60.0  # share of the duration, and [s], that growth is not judged in
# Also at the top of the report, of the superpoint node:
TOP = (
    'published',
    'dropped',
    'failed',
    'lost',
    'rss_slope_kb_per_min',
    'rss_slope_error',
    'fds',
    'threads',
)


def cropped(recording: Recording, size: tuple[int, int]) -> Recording:
    """
    Return the upper left part of the views of the first photograph.

    size: height and width, multiples of 8 [px].
    """
    count = len(VIEWS)
    height, width = size
    rows, cols = height // 8, width // 8
    return Recording(
        recording.images[:count, :height, :width],
        recording.logits[:count, :, :rows, :cols],
        recording.raw[:count, :, :rows, :cols],
        recording.quantization,
        recording.model,
    )


class Run:
    """
    Camera and nodes in a graph, sampled while images are played.

    folder: for logs. recording: its file. limits: of the run, arguments of soak_camera.py.
    """

    def __init__(self, folder: Path, recording: Path, limits: list[object]):
        self.samples: dict[str, Samples] = {}
        self.played: dict[str, Any] = {}  # what the camera printed last
        self.ended: list[str] = []  # why the run ended too early
        self._folder = folder
        self._recording = recording
        self._limits = limits

    def play(self, seconds: float) -> None:
        """Run until the limits are reached, until Ctrl-C, or until a process ends."""
        with ProcessGroup(self._folder) as graph:
            node = [sys.executable, HERE / 'soak_node.py', self._recording]
            tracker = [sys.executable, '-m', 'superpoint_rknn.nodes.tracker.node']
            camera = [sys.executable, HERE / 'soak_camera.py', self._recording, *self._limits]
            processes = {
                'superpoint': graph.start('superpoint', *node),
                'tracker': graph.start('tracker', *tracker),
                'camera': graph.start('camera', *camera, pipes=True),
            }
            self.samples = {name: Samples(process.pid) for name, process in processes.items()}
            try:
                self._watch(graph, processes['camera'], seconds)
            except ProcessError as error:
                self.ended.append(str(error))

    def _watch(self, graph: ProcessGroup, camera: Process, seconds: float) -> None:
        def interrupt(*_: object) -> None:
            if not self.played:
                raise KeyboardInterrupt
            camera.write_line('stop')
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a second one ends at once

        before = signal.signal(signal.SIGINT, interrupt)
        try:
            with tqdm(total=round(seconds), desc='soak', unit=' s', disable=None) as bar:
                while 'counts' not in self.played:
                    self.played = json.loads(graph.read_line(camera, TIMEOUT, self._sample))
                    bar.update(min(round(self.played['seconds']), bar.total) - bar.n)
                    bar.set_postfix_str(self._state())
            graph.finish(camera)
        finally:
            signal.signal(signal.SIGINT, before)

    def _sample(self, _: float) -> None:
        now = time.monotonic()
        for samples in self.samples.values():
            samples.take_if_due(now)

    def _state(self) -> str:
        memory = [
            f'{name} {samples.values["rss_mb"][-1]:.1f} MB'
            for name, samples in self.samples.items()
            if samples.times
        ]
        return ', '.join([f'{self.played["sent"]} images', *memory])


def run(recording: Recording, limits: list[object], seconds: float) -> dict[str, Any]:
    """
    Play images until the limits are reached; return the report.

    recording: of the images. limits: arguments of soak_camera.py. seconds: expected duration.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = recording_path(Path(folder), recording.size)
        write_recording(path, recording)
        soak = Run(Path(folder), path, limits)
        soak.play(seconds)
    played = soak.played or {'sent': 0, 'seconds': 0.0}
    sent, duration = played['sent'], played['seconds']
    rate = sent / duration if duration else 0.0
    warm_up = min(WARM_UP * duration, MAX_WARM_UP)
    processes: dict[str, dict[str, Any]] = {
        name: growth(samples, warm_up, rate)
        for name, samples in soak.samples.items()
        if samples.times
    }
    inputs: dict[str, Any] = {}
    if counts := played.get('counts'):
        inputs = account_inputs(*(counts[name] for name in NODES))
        for name in NODES:
            processes[name] = account(sent, counts[name]) | processes[name]
    report = {
        'images': sent,
        'seconds': duration,
        'rate_hz': rate,
        'size': recording.size,
        **{key: processes.get('superpoint', {}).get(key) for key in TOP},
        'processes': processes,
        'tracker_inputs': inputs,
        'ended': soak.ended,
    }
    return report | {'failures': failures(report)}


def size_of(text: str) -> tuple[int, int]:
    """Parse HxW, multiples of 8 of at least 64 px and at most the size of the network."""
    height, width = map(int, text.split('x'))
    if height % 8 or width % 8 or not (64 <= height <= SIZES[0][0] and 64 <= width <= SIZES[0][1]):
        raise ValueError(text)
    return height, width


def main() -> int:
    """Run from the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--minutes', type=float, default=5.0)
    parser.add_argument('--images', type=int, default=10**9, help='end after so many images')
    parser.add_argument('--size', type=size_of, default=SIZES[0], help='of the images, HxW [px]')
    parser.add_argument('--rate', type=float, help='of the images [Hz]; not as fast as possible')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write all figures as JSON')
    parser.add_argument('--recordings', type=Path, required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    seconds = 60 * arguments.minutes
    limits: list[object] = ['--seconds', seconds, '--images', arguments.images]
    if arguments.rate:
        limits += ['--rate', arguments.rate]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        recording = load_recording(arguments.recordings, SIZES[0], count=1)
        report = run(cropped(recording, arguments.size), limits, seconds)
    except KeyboardInterrupt:
        print('soak: interrupted before the first image', file=sys.stderr)
        return 130
    print(table(report))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + '\n', encoding='utf-8')
    return 1 if report['failures'] else 0


if __name__ == '__main__':
    sys.exit(main())
