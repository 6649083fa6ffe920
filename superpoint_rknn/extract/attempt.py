"""One attempt at a job of `extract`, in a process of its own that writes a temporary bag."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

from superpoint_rknn.extract.job import Job
from superpoint_rknn.extract.output import Attempt, Attempts, finished_summary
from superpoint_rknn.processes import stop

MAX_ATTEMPTS = 3
STOP_TIMEOUT = 1.0  # [s] from SIGTERM to SIGKILL
POLL_PERIOD = 0.1  # [s]
# [s] without an image until a worker counts as blocked; to open a recording that has no index, it
# reads all of it.
IMAGE_TIMEOUT = 1800.0
# Sums of NumPy's BLAS do not depend on the number of cores.
ONE_THREAD = {'OMP_NUM_THREADS': '1', 'OPENBLAS_NUM_THREADS': '1'}


class CancelledAttempt(Exception):
    """An attempt was ended because its result is not wanted any more."""


class WorkerProcess:
    """
    Context of a process that runs one job.

    In a process of its own a job shares no runtime with others, and a blocked call into a
    runtime can be ended.
    """

    def __init__(self, job: Job, bag: Path):
        self._job = job
        self._bag = bag
        self._stack = ExitStack()

    def __enter__(self) -> WorkerProcess:
        with ExitStack() as stack:
            self._connection, worker_end = Pipe()
            stack.enter_context(self._connection)
            with worker_end:
                handle = worker_end.fileno()
                module = 'superpoint_rknn.extract.worker'
                self._process = subprocess.Popen(
                    [sys.executable, '-m', module, str(handle), str(self._bag)],
                    pass_fds=(handle,),
                    stdin=subprocess.DEVNULL,
                    env={**os.environ, **ONE_THREAD},
                    start_new_session=True,  # Ctrl-C goes to the parent alone, which stops it
                )
            # Not SIGINT: a worker that is still importing would print a traceback.
            stack.callback(stop, [self._process], STOP_TIMEOUT, signal.SIGTERM)
            self._connection.send_bytes(self._job.to_json())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def receive(self, timeout: float) -> dict[str, Any] | None:
        """
        Wait for a message of the process for at most `timeout` [s]; None if there is none.

        At its end without a result, the message is an `error` with the cause 'crash'.
        """
        try:
            if not self._connection.poll(timeout):
                return None
            return json.loads(self._connection.recv_bytes())
        except (EOFError, ConnectionResetError):
            code = self._process.wait()
            return {'error': f'its process ended with exit code {code}', 'cause': 'crash'}


def run_attempt(
    job: Job, report: Callable[[int, float], None], is_cancelled: Callable[[], bool]
) -> dict[str, Any]:
    """
    Extract the features of a recording, unless its output is finished or has failed too often.

    report: called with the number of images done and the time covered of the recording [s].
    is_cancelled: whether to end without a result; called all the time.
    Returns the `summary`, or an `error` and its `cause`: 'input' (recording, settings or output
    can't be used), 'machine' (another one might succeed) or 'crash' (the next attempt might
    succeed). Raises CancelledAttempt.
    """
    output = Path(job.output)
    attempts = Attempts(output)
    try:
        finished = finished_summary(output, job.request, job.replace)
        if finished is not None:
            return {'summary': finished}
        if attempts.count() >= MAX_ATTEMPTS:
            return _given_up(job, attempts, 'earlier')
        with Attempt(output) as attempt, WorkerProcess(job, attempt.bag) as worker:
            outcome = _wait(worker, report, is_cancelled)
            if 'summary' in outcome:
                outcome['summary'] = attempt.complete(job.request, outcome['summary'], job.replace)
                return outcome
            attempt.failed = outcome['cause'] == 'crash'
        # Another attempt may have finished, and removed the files of this one.
        finished = finished_summary(output, job.request, job.replace)
        if finished is not None:
            return {'summary': finished}
    except FileExistsError as error:
        return {'error': str(error), 'cause': 'input'}
    except OSError as error:
        return {'error': f'{output}: {error}', 'cause': 'machine'}
    if outcome['cause'] == 'crash' and attempts.count() >= MAX_ATTEMPTS:
        return _given_up(job, attempts, outcome['error'])
    return outcome


def _given_up(job: Job, attempts: Attempts, reason: str) -> dict[str, Any]:
    text = f'{job.bag}: failed {attempts.count()} times ({reason}): remove {attempts.folder}'
    return {'error': f'{text} to try again', 'cause': 'input'}


def _wait(
    worker: WorkerProcess, report: Callable[[int, float], None], is_cancelled: Callable[[], bool]
) -> dict[str, Any]:
    """Pass progress on until the process has a result; see `run_attempt`."""
    last = time.monotonic()
    while not is_cancelled():
        message = worker.receive(POLL_PERIOD)
        if message is None:
            if time.monotonic() > last + IMAGE_TIMEOUT:
                return {'error': f'no image for {IMAGE_TIMEOUT:g} s', 'cause': 'crash'}
            continue
        if 'images' not in message:
            return message
        last = time.monotonic()
        report(message['images'], message['covered'])
    raise CancelledAttempt
