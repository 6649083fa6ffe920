"""Client of rknn-toolkit2, which runs in a process with a Python environment of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

SCRIPT = Path(__file__).with_name('toolkit2_script.py')
CHECKOUT = Path(__file__).resolve().parents[2]
INTERPRETER = Path('.venv-rknn', 'bin', 'python')
LOG_LINES = 40  # of the toolkit's messages that are kept
COLOURS = re.compile(r'\x1b\[[\d;]*m')
VERSION = re.compile(r'rknn-toolkit2 version: ')  # repeated before errors
CALIBRATING = re.compile(r'Quantizating (?:(\d+)/(\d+))? *: *(\d+)%')


def find_toolkit(interpreter: Path | None = None) -> Path:
    """
    Return the Python interpreter that has rknn-toolkit2: `interpreter`, else that of the checkout.

    Raises FileNotFoundError, which names the command that installs it, if there is none.
    """
    path = CHECKOUT / INTERPRETER if interpreter is None else Path(interpreter)
    if path.is_file():
        return path
    raise FileNotFoundError(
        f'{path}: no such interpreter with rknn-toolkit2: run ./dev rknn-toolkit in a checkout, '
        'or name one by --toolkit PYTHON'
    )


class Toolkit:
    """
    A process of rknn-toolkit2 and its temporary working folder; a context manager.

    folder: the working folder. version: of the toolkit.
    """

    def __init__(
        self, interpreter: Path, on_progress: Callable[[float], None] = lambda fraction: None
    ):
        """
        Start the process.

        on_progress: called with the finished share of the calibration, 0 to 1, in a thread.
        Raises RuntimeError if the interpreter does not have the toolkit, OSError if it cannot be
        run.
        """
        self._on_progress = on_progress
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self.folder = Path(tempfile.mkdtemp(prefix='superpoint_rknn.'))
        try:
            # A copy, since the modules beside the script would hide those of the toolkit.
            script = shutil.copy(SCRIPT, self.folder)
            self._process = subprocess.Popen(
                [str(interpreter), '-E', str(script)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self.folder,
                env=os.environ | {'TMPDIR': str(self.folder)},  # for the folders that it creates
                encoding='utf-8',
                errors='replace',
                start_new_session=True,  # Ctrl-C ends this process, which ends that one
            )
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        # Popen types streams as optional; pipes are never None.
        self._requests = cast(IO[str], self._process.stdin)
        self._responses = cast(IO[str], self._process.stdout)
        self._messages = cast(IO[str], self._process.stderr)
        self._interpreter = interpreter
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        try:
            self.version: str = self._response('start')['version']
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Toolkit:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def request(self, name: str, **arguments: object) -> dict:
        """
        Send a request of toolkit2_script.py and return the response.

        Raises RuntimeError with the error message of the toolkit.
        """
        with contextlib.suppress(BrokenPipeError):  # the process ended: _response reports it
            self._requests.write(f'{json.dumps([name, arguments])}\n')
            self._requests.flush()
        return self._response(name)

    def close(self) -> None:
        """Kill the process and its children; remove the folder."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._reader.join()
        for stream in (self._requests, self._responses, self._messages):
            with contextlib.suppress(BrokenPipeError):
                stream.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _response(self, name: str) -> dict:
        line = self._responses.readline()
        if not line:
            code = self._process.wait()
            self._reader.join()
            raise RuntimeError(
                f'rknn-toolkit2 in {self._interpreter} ended at {name!r} with exit code '
                f'{code}: {self._error_messages()}'
            )
        response = json.loads(line)
        if 'error' in response:
            raise RuntimeError(f'rknn-toolkit2: {response["error"]}: {self._error_messages()}')
        return response

    def _read_log(self) -> None:
        for line in self._messages:  # each update of a progress bar is a line
            line = COLOURS.sub('', line).strip()
            calibrating = CALIBRATING.search(line)
            if calibrating:
                # The toolkit names the part only if it calibrates in several passes.
                part, parts, percent = map(int, calibrating.groups(default=1))
                self._on_progress((part - 1 + percent / 100) / parts)
            elif line and '%|' not in line and not VERSION.search(line):
                self._log.append(line)

    def _error_messages(self) -> str:
        """The last errors that the toolkit printed, else its last line."""
        lines = list(self._log)
        errors = [line[2:] for line in lines if line.startswith('E ')]
        return ' | '.join(errors[-3:] or lines[-1:]) or 'no message'
