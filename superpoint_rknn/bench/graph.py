"""What needs a ROS graph: messages, the way through the node, the node as a whole."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from superpoint_rknn.processes import Process, ProcessGroup

RATES = (30.0, 60.0, 120.0)  # [Hz]
FASTEST = 1000.0  # [Hz] more than that no camera gives
FASTER = 1.25  # from one rate to the next, until images are dropped
TIMEOUT = 120.0  # [s] for a process to warm up, and to end


def has_ros() -> bool:
    """Whether rclpy and the package's messages can be imported."""
    return all(importlib.util.find_spec(m) for m in ('rclpy', 'superpoint_rknn.msg'))


def ros_rows(recording: Path, rounds: int) -> list[dict]:
    """
    Rows of messages and of the way of an image through the node.

    recording: file of it. Raises RuntimeError if a process fails.
    """
    with _graph() as graph:
        _start(graph, 'bench.ros_camera', recording, core=0)
        steps = _start(graph, 'bench.ros_steps', recording, rounds)
        return json.loads(graph.finish(steps, TIMEOUT))


def node_figures(
    recording: Path, rate: float, seconds: float, descriptors_rate: float = 5.0
) -> dict:
    """
    Figures of the node as a whole, images from another process.

    rate, descriptors_rate: of images, and at most of descriptors [Hz].
    Raises RuntimeError if a process fails.
    """
    with _graph() as graph:
        parameters = ('--ros-args', '-p', f'descriptors.rate:={descriptors_rate}')
        node = _start(graph, 'bench.measured_node', recording, *parameters)
        played = ('--rate', rate, '--seconds', seconds)
        camera = _start(graph, 'bench.ros_camera', recording, *played, core=0)
        seen = _play(graph, camera, node)
        node.send_signal(signal.SIGINT)
        measured = json.loads(graph.finish(node, TIMEOUT).splitlines()[-1])
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
    with _graph() as graph:
        node = _start(graph, 'bench.measured_node', recording)
        _start(graph, 'nodes.tracker.node', core=None)
        played = ('--tracks', '--rate', rate, '--seconds', seconds)
        camera = _start(graph, 'bench.ros_camera', recording, *played, core=0)
        seen = _play(graph, camera, node)
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
def _graph() -> Iterator[ProcessGroup]:
    """Group of processes whose logs are deleted at the end."""
    with tempfile.TemporaryDirectory() as folder, ProcessGroup(Path(folder)) as graph:
        yield graph


def _start(graph: ProcessGroup, module: str, *arguments: object, core: int | None = -1) -> Process:
    """
    Start a module of this package in a graph.

    core: index of the one core that it may use, the last by default; None: any core.
    """
    command = [sys.executable, '-m', f'superpoint_rknn.{module}', *arguments]
    process = graph.start(module, *command, pipes=True)
    if core is not None:  # before the process starts threads, which inherit it
        os.sched_setaffinity(process.pid, {sorted(os.sched_getaffinity(0))[core]})
    return process


def _play(graph: ProcessGroup, camera: Process, node: Process) -> dict:
    """Results of the camera for its images after the warm-up. Raises ProcessError if it fails."""
    graph.read_line(camera, TIMEOUT)
    node.send_signal(signal.SIGUSR1)
    camera.write_line('go')
    return json.loads(graph.finish(camera, TIMEOUT))
