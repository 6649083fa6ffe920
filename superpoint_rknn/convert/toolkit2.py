"""rknn-toolkit2 in a process of its own: it needs an interpreter and packages of its own."""

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

SCRIPT = Path(__file__).with_name('toolkit2_script.py')
CHECKOUT = Path(__file__).resolve().parents[2]
INTERPRETER = Path('.venv-rknn', 'bin', 'python')
LOG_LINES = 40  # kept of what the toolkit prints
COLOURS = re.compile(r'\x1b\[[\d;]*m')
VERSION = re.compile(r'rknn-toolkit2 version: ')  # which it repeats before errors
CALIBRATING = re.compile(r'Quantizating (?:(\d+)/(\d+))? *: *(\d+)%')


def find_toolkit(interpreter: Path | None = None) -> Path:
    """
    Python interpreter that has rknn-toolkit2: the one given, else the checkout's.

    Raises FileNotFoundError if there is none, with the command that sets it up.
    """
    path = CHECKOUT / INTERPRETER if interpreter is None else Path(interpreter)
    if path.is_file():
        return path
    raise FileNotFoundError(
        f'{path}: no such interpreter of rknn-toolkit2: run ./dev rknn-toolkit in a checkout, '
        'or name one by --toolkit PYTHON'
    )


class Toolkit:
    """
    A process of rknn-toolkit2, and a folder that it works in; both end with the context.

    version: of the toolkit.
    """

    def __init__(
        self, interpreter: Path, on_progress: Callable[[float], None] = lambda fraction: None
    ):
        """
        Start the process.

        on_progress: is told the share of the calibration that is done, 0 to 1, by a thread.
        Raises RuntimeError if that interpreter doesn't have the toolkit, OSError if it can't run.
        """
        self._on_progress = on_progress
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self.folder = Path(tempfile.mkdtemp(prefix='superpoint_rknn.'))
        try:
            # A copy, since modules beside the script would be found before the toolkit's own.
            script = shutil.copy(SCRIPT, self.folder)
            self._process = subprocess.Popen(
                [interpreter, '-E', script],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self.folder,
                env=os.environ | {'TMPDIR': str(self.folder)},  # it makes folders there
                encoding='utf-8',
                errors='replace',
                start_new_session=True,  # Ctrl-C is for us; we end it
            )
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        try:
            self.version: str = self._answer('start')['version']
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Toolkit:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def order(self, name: str, **arguments: object) -> dict:
        """Have one of the script's orders carried out. Raises RuntimeError with the reason."""
        with contextlib.suppress(BrokenPipeError):  # it has ended, as the answer will tell
            self._process.stdin.write(f'{json.dumps([name, arguments])}\n')
            self._process.stdin.flush()
        return self._answer(name)

    def close(self) -> None:
        """End the process and all that it started; remove the folder."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(BrokenPipeError):
                stream.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answer(self, order: str) -> dict:
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            self._reader.join()
            raise RuntimeError(
                f'rknn-toolkit2 in {self._process.args[0]} ended at {order!r} with exit code '
                f'{code}: {self._last_words()}'
            )
        answer = json.loads(line)
        if 'error' in answer:
            raise RuntimeError(f'rknn-toolkit2: {answer["error"]}: {self._last_words()}')
        return answer

    def _read_log(self) -> None:
        for line in self._process.stderr:  # a progress bar's updates are lines of their own
            line = COLOURS.sub('', line).strip()
            calibrating = CALIBRATING.search(line)
            if calibrating:
                # The parts are named only where the images are too many for one pass.
                part, parts, percent = map(int, calibrating.groups(default=1))
                self._on_progress((part - 1 + percent / 100) / parts)
            elif line and '%|' not in line and not VERSION.search(line):
                self._log.append(line)

    def _last_words(self) -> str:
        """What the toolkit printed last: its errors if there are any, else its last line."""
        lines = list(self._log)
        errors = [line[2:] for line in lines if line.startswith('E ')]
        return ' | '.join(errors[-3:] or lines[-1:]) or 'it said nothing'
