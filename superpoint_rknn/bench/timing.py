"""Two ways of doing one thing, timed in turn in one run, on one core."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import cv2
import numpy as np

WARM_UP = 0.1  # share of the rounds that comes before those that count


@dataclass(frozen=True)
class Step:
    """
    Something that the host does for each image, our way and the straightforward way.

    Both ways are called with the number of the image, each after `prepare`, which isn't timed.
    """

    name: str
    ours: Callable[[int], object]
    baseline: Callable[[int], object]
    baseline_name: str
    prepare: Callable[[int], object] = int


def keep_freed_memory() -> bool:
    """
    Have the C library keep freed memory for later arrays, for good; whether it could be told to.

    Left to itself, it's chance whether an array of a megabyte is faulted in anew each time, which
    doubles the time of a way that allocates such arrays.
    """
    # of glibc's malloc.h: M_MMAP_MAX, no array is mapped; M_TRIM_THRESHOLD, none is given back
    options = ((-4, 0), (-1, 2**31 - 1))
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    return mallopt is not None and all(mallopt(*option) == 1 for option in options)


@contextmanager
def one_core():
    """Keep this thread on one core, and OpenCV from using others."""
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


def in_turn(step: Step, rounds: int) -> dict:
    """Row of a step: both ways by turns, `rounds` times each after a warm-up."""
    warm_up = max(3, round(WARM_UP * rounds))
    ours, baseline = np.empty((2, rounds + warm_up))
    for index in range(rounds + warm_up):
        step.prepare(index)
        ours[index] = seconds(step.ours, index)
        step.prepare(index)
        baseline[index] = seconds(step.baseline, index)
    return row(step.name, step.baseline_name, ours[warm_up:], baseline[warm_up:])


def seconds(call: Callable[[int], object], index: int) -> float:
    """How long one call takes [s], the release of what it returns included."""
    start = time.perf_counter()
    call(index)
    return time.perf_counter() - start


def row(name: str, baseline_name: str, ours: np.ndarray, baseline: np.ndarray) -> dict:
    """Row of durations [s] of both ways, taken in turn."""
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
