"""Run the jobs of `extract` in worker processes, some at a time, with progress bars."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from multiprocessing import Pipe
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from superpoint_rknn.extract.job import Job
from superpoint_rknn.extract.output import Output
from superpoint_rknn.processes import stop
from superpoint_rknn.progress import tqdm

STOP_TIMEOUT = 1.0  # [s] from SIGTERM to SIGKILL


class WorkerProcess:
    """
    A process that runs one job, its progress bar, and the output that it writes.

    In a process of its own a job shares no runtime with others, and a blocked call into a
    runtime can be ended.
    """

    def __init__(self, job: Job, row: int):
        """
        Start the process.

        row: of the progress bar. Raises FileExistsError if another run is writing the same output.
        """
        self.job = job
        self.row = row
        with ExitStack() as stack:
            self._output = stack.enter_context(Output(Path(job.output)))
            self.connection, worker_end = Pipe()
            stack.enter_context(self.connection)
            with worker_end:
                self.process = self._start(worker_end.fileno())
            stack.callback(stop_workers, [self])
            self._bar = stack.enter_context(
                tqdm(
                    desc=Path(job.output).name,
                    total=job.images,
                    unit='image',
                    position=row,
                    leave=False,
                    disable=None,
                )
            )
            self.connection.send_bytes(job.to_json())
            self._stack = stack.pop_all()

    def receive(self) -> dict[str, Any] | None:
        """Read a message of the worker; return its `summary` or `error`, None for progress."""
        try:
            message = json.loads(self.connection.recv_bytes())
        except (EOFError, ConnectionResetError):
            code = self.process.wait()
            return {'error': f'{self.job.bag}: its process ended with exit code {code}'}
        if 'images' not in message:
            return message
        elapsed = self._bar.format_dict['elapsed']
        self._bar.set_postfix_str(f'{message["covered"] / max(elapsed, 1e-3):.2f} x real time')
        self._bar.update(message['images'] - self._bar.n)
        return None

    def complete(self) -> None:
        """Move the output to its final path."""
        self._output.complete()

    def close(self) -> None:
        """Stop the process and remove an incomplete output."""
        self._stack.close()

    def _start(self, handle: int) -> subprocess.Popen[bytes]:
        module = 'superpoint_rknn.extract.worker'
        return subprocess.Popen(
            [sys.executable, '-m', module, str(handle), str(self._output.bag)],
            pass_fds=(handle, self._output.lock),  # the lock lasts for as long as the worker
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C goes to the parent alone, which stops the worker
        )


def stop_workers(workers: Iterable[WorkerProcess]) -> None:
    """Stop worker processes."""
    # Not SIGINT: a worker that is still importing would print the traceback of KeyboardInterrupt.
    stop([worker.process for worker in workers], STOP_TIMEOUT, signal.SIGTERM)


def run_jobs(jobs: Sequence[Job], concurrency: int) -> Iterator[tuple[Job, dict[str, Any]]]:
    """
    Run jobs, `concurrency` at a time; yield each with its `summary` or `error` when it ends.

    Closing the iterator stops all workers and removes their incomplete outputs.
    """
    waiting = deque(jobs)
    running: dict[Any, WorkerProcess] = {}
    try:
        while waiting or running:
            while waiting and len(running) < concurrency:
                job = waiting.popleft()
                row = min(set(range(concurrency)) - {worker.row for worker in running.values()})
                try:
                    worker = WorkerProcess(job, row)
                except OSError as error:
                    yield job, {'error': str(error)}
                else:
                    running[worker.connection] = worker
            for connection in wait(list(running)) if running else ():
                worker = running[connection]
                outcome = worker.receive()
                if outcome is None:
                    continue
                del running[connection]
                try:
                    if 'summary' in outcome:
                        worker.complete()
                except OSError as error:
                    outcome = {'error': f'{worker.job.output}: {error}'}
                finally:
                    worker.close()
                yield worker.job, outcome
    finally:
        stop_workers(running.values())
        for worker in running.values():
            worker.close()
