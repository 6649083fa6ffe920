"""Time a step and its baseline in turn, in one run, on one core."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import cv2
import numpy as np

WARM_UP = 0.1  # warm-up rounds, as a fraction of the measured ones


@dataclass(frozen=True)
class Step:
    """
    A step of the host for each image, and its baseline.

    Both are called with the image's index, each after `prepare`, which is not timed.
    """

    name: str
    ours: Callable[[int], object]
    baseline: Callable[[int], object]
    baseline_name: str
    prepare: Callable[[int], object] = int


@contextmanager
def pinned_to_one_core() -> Iterator[None]:
    """Pin this thread to one core and let OpenCV use one thread."""
    threads = cv2.getNumThreads()
    cores = os.sched_getaffinity(0)
    cv2.setNumThreads(1)
    # the last core: the first ones serve most interrupts
    with suppress(OSError):  # a container may forbid it
        os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
        cv2.setNumThreads(threads)


def time_step(step: Step, rounds: int) -> dict:
    """Time a step and its baseline in turn, `rounds` times after a warm-up; return its row."""
    warm_up = max(3, round(WARM_UP * rounds))
    ours, baseline = np.empty((2, rounds + warm_up))
    for index in range(rounds + warm_up):
        step.prepare(index)
        ours[index] = seconds(step.ours, index)
        step.prepare(index)
        baseline[index] = seconds(step.baseline, index)
    return statistics(step.name, step.baseline_name, ours[warm_up:], baseline[warm_up:])


def seconds(call: Callable[[int], object], index: int) -> float:
    """Duration of one call [s], including the release of its result."""
    start = time.perf_counter()
    call(index)
    return time.perf_counter() - start


def cpu_seconds(pid: int) -> float:
    """CPU time that all threads of a process have used [s]. Raises OSError if there is none."""
    clock = ~pid << 3 | 2  # as clock_getcpuclockid(3) computes it on Linux
    return time.clock_gettime(clock)


def statistics(name: str, baseline_name: str, ours: np.ndarray, baseline: np.ndarray) -> dict:
    """Row of a step: median, 95th percentile and ratio from durations [s]."""
    median, p95 = 1e3 * np.percentile(ours, [50, 95])
    baseline_median = 1e3 * np.median(baseline)
    return {
        'name': name,
        'median_ms': round(float(median), 5),
        'p95_ms': round(float(p95), 5),
        'baseline': baseline_name,
        'baseline_median_ms': round(float(baseline_median), 5),
        'ratio': round(float(baseline_median / median), 3),
    }
