"""Samples of a process's memory, handles and threads over time, and how fast they grow."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from superpoint_rknn.memory import resident_mb

PAGE_FAULTS = (9, 11)  # fields minflt and majflt of /proc/PID/stat after the name, see proc(5)
CAPACITY = 4096  # samples of one process; then every second one is removed
BLOCKS = 12  # of which means are taken
KINDS = ('rss_mb', 'shared_mb', 'fds', 'threads', 'page_faults')


def read_sample(pid: int) -> dict[str, float]:
    """
    Read what a process holds now: a value for each of KINDS.

    rss_mb: private memory and mapped files. shared_mb: shared memory. page_faults: since the
    start of the process.
    Raises OSError if there is no such process.
    """
    process = Path(f'/proc/{pid}')
    lines = (process / 'status').read_text(errors='replace').splitlines()
    status = dict(line.split(':', 1) for line in lines)
    stat = (process / 'stat').read_text(errors='replace').rpartition(') ')[2].split()
    return {
        'rss_mb': resident_mb(pid),
        'shared_mb': 1.024e-3 * int(status['RssShmem'].split()[0]),
        'fds': len(os.listdir(process / 'fd')),
        'threads': int(status['Threads']),
        'page_faults': sum(int(stat[field - 2]) for field in PAGE_FAULTS),
    }


class Samples:
    """
    Samples of one process at a regular interval, in bounded memory.

    interval: between two samples [s]; it doubles whenever CAPACITY is reached.
    """

    def __init__(self, pid: int, interval: float = 1.0):
        self._pid = pid
        self._interval = interval
        self._next = 0.0  # [s]
        self.times: list[float] = []  # [s]
        self.values: dict[str, list[float]] = {kind: [] for kind in KINDS}

    def take_if_due(self, now: float) -> None:
        """Take a sample if the last one is old enough; now: [s]. Raises OSError."""
        if now < self._next:
            return
        self._next = now + self._interval
        for kind, value in read_sample(self._pid).items():
            self.values[kind].append(value)
        self.times.append(now)
        if len(self.times) >= CAPACITY:
            self._interval *= 2
            for series in (self.times, *self.values.values()):
                del series[1::2]

    def after(self, warm_up: float) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return the times and values of the samples without those of the first seconds."""
        start = self.times[0] + warm_up if self.times else 0.0
        first = int(np.searchsorted(self.times, start))
        values = {kind: np.array(series[first:]) for kind, series in self.values.items()}
        return np.array(self.times[first:]), values


def slope(times: np.ndarray, values: np.ndarray) -> tuple[float, float] | None:
    """
    Fit a line to values over time [s]; return its slope per hour and the standard error of that.

    It is fitted to the means of BLOCKS blocks: successive samples are not independent, their block
    means nearly are. Returns None if there are fewer than two samples for each block.
    """
    if len(times) < 2 * BLOCKS:
        return None
    hours = np.array([block.mean() for block in np.array_split(times, BLOCKS)]) / 3600
    means = np.array([block.mean() for block in np.array_split(values, BLOCKS)])
    x, y = hours - hours.mean(), means - means.mean()
    rise = x @ y / (x @ x)
    residuals = y - rise * x
    return float(rise), float(np.sqrt(residuals @ residuals / (BLOCKS - 2) / (x @ x)))
