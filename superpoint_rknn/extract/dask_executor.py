"""
Executor of `extract` on a cluster of Dask. Only this module imports Dask.

An attempt is one task, which starts the same process as on one machine. A task whose worker is
lost is run again by the scheduler; an attempt that returns an error is not known to it as failed.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import Future
from typing import Any
from uuid import uuid4

from superpoint_rknn import __version__
from superpoint_rknn.dependencies import pip_install
from superpoint_rknn.extract.attempt import CancelledAttempt, run_attempt
from superpoint_rknn.extract.executor import Report
from superpoint_rknn.extract.job import Job

CONNECT_TIMEOUT = 10.0  # [s] to reach the scheduler
CLOSE_TIMEOUT = 10.0  # [s] until attempts that were cancelled have ended
REPORT_PERIOD = 5.0  # [s] between two progress messages of an attempt
CAPACITY = 1000  # jobs that the scheduler knows at a time

_running: Counter[str] = Counter()  # attempts in this worker, by the topic of their run
_lock = threading.Lock()


class DaskExecutor:
    """Runs attempts on the workers of a Dask scheduler; each of their threads runs one."""

    capacity = CAPACITY

    def __init__(self, address: str):
        """
        Connect to the scheduler.

        Raises RuntimeError if Dask is not installed or the scheduler can't be reached.
        """
        try:
            from distributed import Client
        except ImportError as error:
            raise RuntimeError(
                f'--scheduler needs {error.name}: {pip_install("distributed")}'
            ) from None
        try:
            self._client = Client(address, timeout=CONNECT_TIMEOUT, set_as_default=False)
        except Exception as error:  # of many kinds: address, certificates, what answers there
            raise RuntimeError(
                f'--scheduler {address}: not reachable: {error}: expected the address that '
                '`dask scheduler` prints'
            ) from None
        self._address = address
        self._topic = f'superpoint_rknn-extract-{uuid4().hex}'
        self._reports: dict[str, Report] = {}  # by output
        self._tasks: dict[str, Any] = {}  # by output; a task without a reference is cancelled
        self._failed_on: defaultdict[str, set[str]] = defaultdict(set)  # workers, by output
        self._client.subscribe_topic(self._topic, self._on_progress)

    @property
    def description(self) -> str:
        """Workers and the address of the dashboard, for the user."""
        threads = self._client.nthreads()
        workers = f'{len(threads)} workers for {sum(threads.values())} recordings at a time'
        try:
            dashboard = f'dashboard: {self._client.dashboard_link}'
        except KeyError:
            dashboard = 'no dashboard: the scheduler runs without bokeh'
        waiting = '' if threads else '; waiting for `dask worker`'
        return f'{self._address}: {workers}; {dashboard}{waiting}'

    def submit(self, job: Job, report: Report) -> Future[dict[str, Any]]:
        self._check_connection()
        self._reports[job.output] = report
        workers = self._other_workers(job) if self._failed_on[job.output] else None
        task = self._client.submit(
            run_task,
            job.to_json(),
            __version__,
            self._topic,
            key=f'extract-{uuid4().hex}',
            workers=workers or None,
            allow_other_workers=bool(workers),  # these can be lost
        )
        self._tasks[job.output] = task
        future: Future[dict[str, Any]] = Future()
        task.add_done_callback(lambda _: self._finish(job, future))
        return future

    def may_retry(self, job: Job, outcome: dict[str, Any]) -> bool:
        if outcome['cause'] == 'crash':
            return True
        if outcome['cause'] != 'machine':
            return False
        self._failed_on[job.output].add(outcome['worker'])
        return bool(self._other_workers(job))

    def close(self) -> None:
        if self._tasks and self._client.status == 'running':
            self._client.cancel(list(self._tasks.values()), force=True)
            end = time.monotonic() + CLOSE_TIMEOUT
            while any(self._client.run(is_running, self._topic, on_error='ignore').values()):
                if time.monotonic() > end:
                    break
                time.sleep(0.1)
        self._client.close()

    def _finish(self, job: Job, future: Future[dict[str, Any]]) -> None:
        """Set the result of an attempt; runs in a thread of the client."""
        task = self._tasks.pop(job.output, None)
        if task is None:  # closing
            return
        if task.status in ('cancelled', 'lost'):
            future.set_exception(self._lost())
            return
        try:
            future.set_result(task.result())
        except Exception as error:  # of Dask: a worker was lost too often, or lacks the package
            text = f'{job.bag}: {type(error).__name__}: {error}'
            future.set_result({'error': text, 'cause': 'crash'})

    def _other_workers(self, job: Job) -> list[str]:
        """Return the workers without a failed attempt at a job."""
        return [w for w in self._client.nthreads() if w not in self._failed_on[job.output]]

    def _check_connection(self) -> None:
        if self._client.status != 'running':
            raise self._lost()

    def _lost(self) -> RuntimeError:
        text = f'--scheduler {self._address}: the connection was lost'
        return RuntimeError(f'{text}; repeat the command to resume')

    def _on_progress(self, event: tuple[float, Any]) -> None:
        """Handle a progress message; runs in a thread of the client."""
        output, images, covered = event[1]
        self._reports[output](images, covered)


def run_task(job_json: bytes, version: str, topic: str) -> dict[str, Any]:
    """
    Run an attempt in a thread of a Dask worker.

    job_json: see Job. version: of the package that the client has. topic: of progress messages.
    Returns what `run_attempt` does, with the `worker`.
    """
    from distributed import Reschedule, Status, get_worker

    worker = get_worker()
    if version != __version__:
        text = f'superpoint_rknn {__version__} on worker {worker.address}, {version} here'
        return {'error': text, 'cause': 'machine', 'worker': worker.address}
    key = worker.get_current_task()
    job = Job.from_json(job_json)
    next_report = 0.0

    def report(images: int, covered: float) -> None:
        nonlocal next_report
        if time.monotonic() >= next_report:
            next_report = time.monotonic() + REPORT_PERIOD
            worker.log_event(topic, (job.output, images, covered))

    def is_cancelled() -> bool:
        """Return whether the client released the task or is gone, or the worker closes."""
        task = worker.state.tasks.get(key)
        is_wanted = task is not None and task.state == 'executing'
        return not is_wanted or worker.status not in (Status.running, Status.paused)

    with _lock:
        _running[topic] += 1
    try:
        return run_attempt(job, report, is_cancelled) | {'worker': worker.address}
    except CancelledAttempt:
        raise Reschedule from None
    finally:
        with _lock:
            _running[topic] -= 1


def is_running(topic: str) -> bool:
    """Return whether this worker runs an attempt of the run with this topic."""
    return _running[topic] > 0
