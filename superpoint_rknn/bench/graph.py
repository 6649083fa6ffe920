"""Measurements in a ROS graph: messages, the superpoint node, both nodes."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from superpoint_rknn.bench.timing import cpu_seconds
from superpoint_rknn.memory import resident_mb
from superpoint_rknn.processes import Process, ProcessGroup

RATES = (30.0, 60.0, 120.0)  # [Hz]
MAX_RATE = 1000.0  # [Hz]
RATE_STEP = 1.25  # factor from one rate to the next, until images are dropped
START_RATE, START_SECONDS = 30.0, 2.0  # of the images after the start of the node [Hz], [s]
TIMEOUT = 120.0  # [s] for a process to warm up, and to end


def has_ros() -> bool:
    """True if rclpy and the package's messages can be imported."""
    return all(importlib.util.find_spec(m) for m in ('rclpy', 'superpoint_rknn.msg'))


def ros_rows(recording: Path, rounds: int) -> list[dict]:
    """
    Measure messages and the overhead of the superpoint node; returns rows as `time_step` does.

    recording: its file. Raises RuntimeError if a process fails.
    """
    with _graph() as graph:
        _start(graph, 'bench.ros_camera', recording, core=0)
        steps = _start(graph, 'bench.ros_steps', recording, rounds)
        return json.loads(graph.finish(steps, TIMEOUT))


def node_figures(
    recording: Path, rate: float, seconds: float, descriptors_rate: float = 5.0
) -> dict:
    """
    Measure the superpoint node, which receives images from another process.

    recording: its file. rate: of the images [Hz]. seconds: duration.
    descriptors_rate: the node's parameter `descriptors.rate` [Hz].
    Raises RuntimeError if a process fails.
    """
    with _graph() as graph:
        parameters = ('--ros-args', '-p', f'descriptors.rate:={descriptors_rate}')
        node = _start(graph, 'bench.measured_node', recording, *parameters)
        played = ('--rate', rate, '--seconds', seconds)
        camera = _start(graph, 'bench.ros_camera', recording, *played, core=0)
        _wait_until_warm(graph, camera)
        node.send_signal(signal.SIGUSR1)
        results = _play(graph, camera)
        node.send_signal(signal.SIGINT)
        measured = json.loads(graph.finish(node, TIMEOUT).splitlines()[-1])
    latencies = 1e3 * np.array(results['latencies'] or [np.nan])
    overheads = 1e3 * np.array(measured['overheads'] or [np.nan])
    return {
        'rate_hz': rate,
        'descriptors_rate': descriptors_rate,
        'reached_hz': round(results['rate'], 1),
        'published': results['published'],
        'dropped': results['published'] - results['answers'],
        'descriptors': results['descriptors'],
        'cpu_ms_per_image': round(1e3 * measured['cpu_per_image'], 3),
        'latency_ms': _percentiles(latencies),
        'frame_overhead_ms': _percentiles(overheads),
        'callbacks_ms': {
            name: _percentiles(1e3 * np.array(durations))
            for name, durations in measured['callbacks'].items()
        },
    }


def start_figures(recording: Path) -> dict:
    """
    Measure start and memory of the superpoint node with this machine's model.

    recording: file of the images. Returns the time from the start of the process to its first
    keypoints [s], the CPU time until then [s], and the memory that it holds in the end [MB].
    Raises RuntimeError if a process fails.
    """
    with _graph() as graph:
        played = ('--rate', START_RATE, '--seconds', START_SECONDS)
        camera = _start(graph, 'bench.ros_camera', recording, *played, core=0)
        graph.read_line(camera, TIMEOUT)  # it publishes
        start = time.monotonic()
        node = _start(graph, 'nodes.superpoint.node', core=None)
        graph.read_line(camera, TIMEOUT)  # it has received keypoints
        figures = {
            'seconds': round(time.monotonic() - start, 3),
            'cpu_seconds': round(cpu_seconds(node.pid), 3),
        }
        graph.read_line(camera, TIMEOUT)  # it is ready to play
        _play(graph, camera)
        return figures | {'resident_mb': round(resident_mb(node.pid), 1)}


def cpu_ms_per_image(
    recording: Path, command: Sequence[object], rate: float, seconds: float, **variables: str
) -> tuple[float, float, float]:
    """
    Measure a program that takes images and publishes keypoints and descriptors.

    recording: file of the images. command: of the program. rate: of the images [Hz].
    seconds: duration. variables: environment variables of the program.
    Returns its CPU time per published image [ms], the share of images with keypoints, and the
    rate of descriptors [Hz].
    Raises RuntimeError if a process fails.
    """
    with _graph() as graph:
        program = graph.start('program', *command, variables=variables)
        _pin(program, -1)
        played = ('--rate', rate, '--seconds', seconds)
        camera = _start(graph, 'bench.ros_camera', recording, *played, core=0)
        _wait_until_warm(graph, camera)
        before = cpu_seconds(program.pid)
        results = _play(graph, camera)
        used = cpu_seconds(program.pid) - before
    published = results['published']
    return 1e3 * used / published, results['answers'] / published, results['descriptors'] / seconds


def tracker_figures(recording: Path, rate: float, seconds: float) -> dict:
    """
    Measure the latency from images to tracks, with both nodes in a process each.

    recording: its file. rate: of the images [Hz]. seconds: duration.
    Raises RuntimeError if a process fails.
    """
    with _graph() as graph:
        _start(graph, 'bench.measured_node', recording)
        _start(graph, 'nodes.tracker.node', core=None)
        played = ('--tracks', '--rate', rate, '--seconds', seconds)
        camera = _start(graph, 'bench.ros_camera', recording, *played, core=0)
        _wait_until_warm(graph, camera)
        results = _play(graph, camera)
    return {
        'rate_hz': rate,
        'reached_hz': round(results['rate'], 1),
        'published': results['published'],
        'lost': results['published'] - results['answers'],
        'latency_ms': _percentiles(1e3 * np.array(results['latencies'] or [np.nan])),
    }


def first_drop(recording: Path, slow: list[dict], seconds: float) -> tuple[float, float | None]:
    """
    Find the highest image rate without a drop and the first one with a drop [Hz].

    slow: figures of the rates that were measured before, ascending; further rates rise by
    RATE_STEP. The second rate is None if no drop occurs up to MAX_RATE, or up to the rate that
    the publishing process reaches.
    """
    best = 0.0
    for figures in slow:
        if figures['dropped']:
            return best, figures['rate_hz']
        best = figures['rate_hz']
    while best * RATE_STEP < MAX_RATE:
        figures = node_figures(recording, best * RATE_STEP, seconds)
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
    if core is not None:
        _pin(process, core)
    return process


def _pin(process: Process, core: int) -> None:
    """Pin a process to one core, by its index, before it starts threads, which inherit it."""
    os.sched_setaffinity(process.pid, {sorted(os.sched_getaffinity(0))[core]})


def _wait_until_warm(graph: ProcessGroup, camera: Process) -> None:
    for _ in ('publishing', 'answered', 'ready'):
        graph.read_line(camera, TIMEOUT)


def _play(graph: ProcessGroup, camera: Process) -> dict:
    """Let a camera that is warm play its images; return its results."""
    camera.write_line('go')
    return json.loads(graph.finish(camera, TIMEOUT))
