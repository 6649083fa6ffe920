"""Executors of `extract`: the interface, and the one that runs attempts on this machine."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

from superpoint_rknn.extract.attempt import run_attempt
from superpoint_rknn.extract.job import Job

Report = Callable[[int, float], None]  # see run_attempt


class JobExecutor(Protocol):
    """Runs attempts at jobs, as an executor of concurrent.futures runs functions."""

    capacity: int  # jobs to submit at a time

    def submit(self, job: Job, report: Report) -> Future[dict[str, Any]]:
        """
        Start an attempt as soon as possible; its future has what `run_attempt` returns.

        report: see run_attempt; called by another thread.
        Raises RuntimeError if no attempt can be started any more, also by the future.
        """
        ...

    def may_retry(self, job: Job, outcome: dict[str, Any]) -> bool:
        """Return whether another attempt might succeed where this one had an `error`."""
        ...

    def close(self) -> None:
        """End attempts that run without a result; return when they have ended."""
        ...


class LocalExecutor:
    """Runs attempts on this machine, `capacity` at a time."""

    def __init__(self, capacity: int):
        self.capacity = capacity
        self._threads = ThreadPoolExecutor(capacity)
        self._closing = threading.Event()

    def submit(self, job: Job, report: Report) -> Future[dict[str, Any]]:
        return self._threads.submit(run_attempt, job, report, self._closing.is_set)

    def may_retry(self, job: Job, outcome: dict[str, Any]) -> bool:
        return outcome['cause'] == 'crash'

    def close(self) -> None:
        self._closing.set()
        self._threads.shutdown(cancel_futures=True)
