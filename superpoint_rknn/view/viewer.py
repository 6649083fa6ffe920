"""The viewer process, fed with records through a bounded queue."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import sys
import tempfile
import threading
import time
from collections import deque
from pathlib import Path
from typing import TextIO, cast

from superpoint_rknn.processes import Process, stop
from superpoint_rknn.view.records import Record, encode

RERUN = 'rerun-sdk==0.41.0'
SCRIPT = Path(__file__).with_name('viewer_script.py')
CHECKOUT = Path(__file__).resolve().parents[2]
INSTALLED = Path('~/.local/share/superpoint_rknn/view')  # environment of an installed package
START_TIMEOUT = 60.0  # [s] for the import of rerun on a busy machine
STOP_TIMEOUT = 5.0  # [s] for the viewer to write the end of its recording
MAX_RECORDS = 256  # in the queue
MAX_BYTES = 32_000_000  # in the queue


def find_interpreter() -> Path:
    """
    Return a Python interpreter that has rerun-sdk.

    Raises FileNotFoundError, which names the command that installs it, if there is none.
    """
    if importlib.util.find_spec('rerun_bindings'):
        return Path(sys.executable)
    for folder in (CHECKOUT / '.venv-view', INSTALLED.expanduser()):
        if (python := folder / 'bin' / 'python').is_file():
            return python
    if (CHECKOUT / 'dev').is_file():
        raise FileNotFoundError(
            f'{CHECKOUT}/.venv-view: rerun-sdk is not installed: start it as ./dev view, which '
            'installs it'
        )
    raise FileNotFoundError(
        f'{INSTALLED}: rerun-sdk is not installed; run, with Python 3.11 or later (800 MB): '
        f"python3 -m venv {INSTALLED} && {INSTALLED}/bin/pip install '{RERUN}'"
    )


def check_ports(port: int) -> None:
    """Raise ValueError or OSError unless the viewer can listen on a port and the next one."""
    if not 1024 <= port < 65535:
        raise ValueError(f'--port: {port}, expected a number from 1024 to 65534')
    for number in (port, port + 1):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(('127.0.0.1', number))
            except OSError as error:
                raise OSError(
                    f'port {number}: {error.strerror}; does another view run? --port names another'
                ) from None


class RecordQueue:
    """
    Queue of encoded records with a bounded number and size; thread-safe.

    If it is full, the oldest records are discarded and counted in `dropped`.
    """

    def __init__(self, max_records: int = MAX_RECORDS, max_bytes: int = MAX_BYTES):
        self.dropped = 0
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._records: deque[bytes] = deque()
        self._bytes = 0
        self._closed = False
        self._condition = threading.Condition()

    def put(self, data: bytes) -> None:
        """Add a record; discard the oldest ones while there are too many."""
        with self._condition:
            self._records.append(data)
            self._bytes += len(data)
            while len(self._records) > self._max_records or self._bytes > self._max_bytes:
                self._bytes -= len(self._records.popleft())
                self.dropped += 1
            self._condition.notify()

    def take(self) -> bytes | None:
        """Wait for the oldest record and remove it; None: closed and empty."""
        with self._condition:
            while not self._records and not self._closed:
                self._condition.wait()
            if not self._records:
                return None
            data = self._records.popleft()
            self._bytes -= len(data)
            return data

    def close(self) -> None:
        """Let `take` return None when no record is left."""
        with self._condition:
            self._closed = True
            self._condition.notify()


class Viewer:
    """
    A process of viewer_script.py; a context manager.

    address: of the page that shows the records.
    """

    def __init__(self, interpreter: Path, port: int, recording: Path | None = None):
        """
        Start the process and wait until it serves the page.

        port: of the page; its data come from the next one. recording: .rrd file to write, or None.
        Raises RuntimeError with the reason if it does not start, ValueError for an invalid port,
        OSError if it is in use.
        """
        check_ports(port)
        self._queue = RecordQueue()
        self._folder = tempfile.TemporaryDirectory(prefix='superpoint_rknn.')
        command = [interpreter, '-I', SCRIPT, port, *([recording] if recording else [])]
        log = Path(self._folder.name, 'viewer.log')
        self._process = Process('viewer', command, log, os.environ | {'NO_COLOR': '1'}, pipes=True)
        # Popen types streams as optional; pipes are never None.
        self._stdin = cast(TextIO, self._process.stdin).buffer
        try:
            self.address = self._read_address()
        except BaseException:
            stop([self._process])
            self._folder.cleanup()
            raise
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()

    @property
    def dropped(self) -> int:
        """Number of records that were discarded because the viewer was too slow."""
        return self._queue.dropped

    def send(self, *records: Record) -> None:
        """Pass records to the viewer; never waits for it."""
        for record in records:
            self._queue.put(encode(record))

    def check(self) -> None:
        """Raise RuntimeError with the reason if the viewer has ended."""
        if self._process.poll() is not None:
            raise RuntimeError(
                f'the viewer ended with exit code {self._process.returncode}: '
                f'{self._process.last_error() or "no message"}'
            )

    def close(self) -> None:
        """Write what is queued and end the process; kill it if it does not end in time."""
        self._queue.close()
        self._writer.join(STOP_TIMEOUT)
        with contextlib.suppress(BrokenPipeError):
            if not self._writer.is_alive():
                self._stdin.close()
        end = time.monotonic() + STOP_TIMEOUT
        while self._process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        if self._process.poll() is None:
            stop([self._process], timeout=0.0)
        self._folder.cleanup()

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read_address(self) -> str:
        end = time.monotonic() + START_TIMEOUT
        while not self._process.receive(0.1):
            if time.monotonic() > end:
                raise RuntimeError(f'the viewer did not start within {START_TIMEOUT:g} s')
        if not self._process.has_line:
            self._process.wait()
            self.check()
        return self._process.take_line()

    def _write(self) -> None:
        while (data := self._queue.take()) is not None:
            try:
                self._stdin.write(data)
                self._stdin.flush()
            except BrokenPipeError:  # the process ended, which `check` reports
                return
