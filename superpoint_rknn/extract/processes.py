"""Jobs in processes of their own, so many at a time, with their progress."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from multiprocessing import Pipe
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from tqdm import tqdm

from superpoint_rknn.extract.job import Job
from superpoint_rknn.extract.output import Output

PATIENCE = 1.0  # [s] for a process to end when told to


class Child:
    """
    A process that does one job, its progress bar, and the output that becomes whole at its end.

    An engine is in no danger of being shared, and a call into it that hangs can be ended.
    """

    def __init__(self, job: Job, row: int):
        """Raise FileExistsError if another run is writing the same output."""
        self.job = job
        self.row = row  # of its progress bar
        with ExitStack() as stack:
            self._output = stack.enter_context(Output(Path(job.output)))
            self.connection, theirs = Pipe()
            stack.enter_context(self.connection)
            with theirs:
                self._process = self._start(theirs.fileno())
            stack.callback(self.stop)
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

    def hear(self) -> dict[str, Any] | None:
        """Take what the process tells next; returns its `summary` or `error` at the end."""
        try:
            told = json.loads(self.connection.recv_bytes())
        except (EOFError, ConnectionResetError):
            code = self._process.wait()
            return {'error': f'{self.job.bag}: its process ended with exit code {code}'}
        if 'images' not in told:
            return told
        elapsed = self._bar.format_dict['elapsed']
        self._bar.set_postfix_str(f'{told["covered"] / max(elapsed, 1e-3):.2f} x real time')
        self._bar.update(told['images'] - self._bar.n)
        return None

    def complete(self) -> None:
        """Give the output its name."""
        self._output.complete()

    def tell_to_end(self) -> None:
        """Ask the process to end, without waiting."""
        self._process.terminate()

    def stop(self) -> None:
        """End the process, in any case."""
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """End the process and remove what is unfinished."""
        self._stack.close()

    def _start(self, handle: int) -> subprocess.Popen:
        module = 'superpoint_rknn.extract.worker'
        return subprocess.Popen(
            [sys.executable, '-m', module, str(handle), str(self._output.bag)],
            pass_fds=(handle, self._output.lock),  # locked for as long as it writes
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the parent, which ends it
        )


def run_jobs(jobs: Sequence[Job], at_once: int) -> Iterator[tuple[Job, dict[str, Any]]]:
    """
    Do jobs, `at_once` at a time; yields each with its `summary` or `error` as it ends.

    Closing the iterator, or an interruption, ends all processes and leaves no half output.
    """
    waiting = deque(jobs)
    running: dict[Any, Child] = {}
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                job = waiting.popleft()
                row = min(set(range(at_once)) - {child.row for child in running.values()})
                try:
                    child = Child(job, row)
                except OSError as error:
                    yield job, {'error': str(error)}
                else:
                    running[child.connection] = child
            for connection in wait(list(running)) if running else ():
                child = running[connection]
                outcome = child.hear()
                if outcome is None:
                    continue
                del running[connection]
                try:
                    if 'summary' in outcome:
                        child.complete()
                except OSError as error:
                    outcome = {'error': f'{child.job.output}: {error}'}
                finally:
                    child.close()
                yield child.job, outcome
    finally:
        for child in running.values():
            child.tell_to_end()
        for child in running.values():
            child.close()
