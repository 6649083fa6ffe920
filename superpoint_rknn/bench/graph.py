"""What needs a ROS graph: messages, the way through the node, the node as a whole."""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from superpoint_rknn.runtimes.model_files import shipped_models

RATES = (30.0, 60.0, 120.0)  # [Hz]
FASTEST = 1000.0  # [Hz] more than that no camera gives
FASTER = 1.25  # from one rate to the next, until images are dropped
TIMEOUT = 120.0  # [s] for a process to end
PATIENCE = 5.0  # [s] for one that is told to


def has_ros() -> bool:
    """Whether rclpy and the package's messages can be imported."""
    return all(importlib.util.find_spec(m) for m in ('rclpy', 'superpoint_rknn.msg'))


def ros_rows(recording: Path, rounds: int) -> list[dict]:
    """
    Rows of messages and of the way of an image through the node.

    recording: file of it. Raises RuntimeError if a process fails.
    """
    with _graph() as start:
        start('bench.ros_camera', recording, core=0)
        return json.loads(_finish(start('bench.ros_steps', recording, rounds)))


def node_figures(
    recording: Path, rate: float, seconds: float, descriptors_rate: float = 5.0
) -> dict:
    """
    Figures of the node as a whole, images from another process.

    rate, descriptors_rate: of images, and at most of descriptors [Hz].
    Raises RuntimeError if a process fails.
    """
    with _graph() as start:
        rates = ('--ros-args', '-p', f'descriptors.rate:={descriptors_rate}')
        node = start('bench.measured_node', recording, *rates)
        camera = start('bench.ros_camera', recording, '--rate', rate, '--seconds', seconds, core=0)
        seen = _play(camera, node)
        node.send_signal(signal.SIGINT)
        measured = json.loads(_finish(node).splitlines()[-1])
    latencies = 1e3 * np.array(seen['latencies'] or [np.nan])
    overheads = 1e3 * np.array(measured['overheads'] or [np.nan])
    return {
        'rate_hz': rate,
        'descriptors_rate': descriptors_rate,
        'reached_hz': round(seen['rate'], 1),
        'published': seen['published'],
        'dropped': seen['published'] - seen['answers'],
        'descriptors': seen['descriptors'],
        'cpu_ms_per_image': round(1e3 * measured['cpu_per_image'], 3),
        'latency_ms': _percentiles(latencies),
        'frame_overhead_ms': _percentiles(overheads),
        'callbacks_ms': {
            name: _percentiles(1e3 * np.array(durations))
            for name, durations in measured['callbacks'].items()
        },
    }


def tracker_figures(recording: Path, rate: float, seconds: float) -> dict:
    """
    Figures of the node and the tracker, in a process each: publication of images to their tracks.

    rate: of images [Hz]. Raises RuntimeError if a process fails.
    """
    with _graph() as start:
        node = start('bench.measured_node', recording)
        start('nodes.tracker_node', core=None)
        camera = start(
            'bench.ros_camera', recording, '--tracks', '--rate', rate, '--seconds', seconds, core=0
        )
        seen = _play(camera, node)
    return {
        'rate_hz': rate,
        'reached_hz': round(seen['rate'], 1),
        'published': seen['published'],
        'lost': seen['published'] - seen['answers'],
        'latency_ms': _percentiles(1e3 * np.array(seen['latencies'] or [np.nan])),
    }


def first_drop(recording: Path, slow: list[dict], seconds: float) -> tuple[float, float | None]:
    """
    Image rates [Hz]: the highest at which nothing was dropped, and the first with a drop.

    slow: figures of rates that were measured already, ascending; then each is a quarter above
    the last. None where the camera's process, or any camera, gives no more.
    """
    best = 0.0
    for figures in slow:
        if figures['dropped']:
            return best, figures['rate_hz']
        best = figures['rate_hz']
    while best * FASTER < FASTEST:
        figures = node_figures(recording, best * FASTER, seconds)
        if figures['reached_hz'] < 0.98 * figures['rate_hz']:
            break
        if figures['dropped']:
            return best, figures['rate_hz']
        best = figures['rate_hz']
    return best, None


def _percentiles(values: np.ndarray) -> dict[str, float]:
    percentiles = np.percentile(values, [50, 95, 99, 100])
    return dict(zip(('p50', 'p95', 'p99', 'max'), np.round(percentiles, 4).tolist(), strict=True))


@contextmanager
def _graph() -> Iterator:
    """A ROS graph of its own; gives a function that starts one of our modules in it."""
    environment = os.environ | {
        'ROS_DOMAIN_ID': str(1 + os.getpid() % 100),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        'ROS_LOCALHOST_ONLY': '1',
    }
    profile = str(shipped_models().parent / 'config' / 'fastdds.xml')
    for name in ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE'):
        environment.setdefault(name, profile)
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        environment['ROS_LOG_DIR'] = folder
        namespace = f'bench_{secrets.token_hex(4)}'  # others may have the same domain

        def start(module: str, *arguments: object, core: int | None = -1) -> subprocess.Popen:
            cores = sorted(os.sched_getaffinity(0))
            cores = cores if core is None else [cores[core]]
            log = stack.enter_context(Path(folder, f'{module}.log').open('w+'))
            process = subprocess.Popen(
                [sys.executable, '-m', f'superpoint_rknn.{module}', *map(str, arguments)]
                + ([] if '--ros-args' in arguments else ['--ros-args'])
                + ['-r', f'__ns:=/{namespace}'],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                preexec_fn=lambda: os.sched_setaffinity(0, cores),
            )
            process.log = log
            stack.callback(_end, process)
            return process

        yield start


def _play(camera: subprocess.Popen, node: subprocess.Popen) -> dict:
    """What the camera saw, once warmed up. Raises RuntimeError if it fails."""
    if not camera.stdout.readline():
        _finish(camera)
    node.send_signal(signal.SIGUSR1)
    camera.stdin.write('go\n')
    camera.stdin.flush()
    return json.loads(_finish(camera))


def _finish(process: subprocess.Popen) -> str:
    """What a process still prints. Raises RuntimeError unless it ends well and in time."""
    try:
        output, _ = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f'{process.args[2]} did not end within {TIMEOUT:g} s') from None
    if process.returncode:
        process.log.seek(0)
        words = process.log.read().strip().splitlines()[-1:]
        raise RuntimeError(f'{process.args[2]}: exit code {process.returncode}: {words}')
    return output


def _end(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGINT)  # a killed one leaves its shared memory behind
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
