"""
Run pip with one line of progress: bytes and time left; then the reason if it fails.

Usage: python pip_progress.py WHAT MEGABYTES PIP-ARGUMENTS...

WHAT is installed, for the messages. MEGABYTES: size of the downloads, 0 if there are none.
In a terminal the line is updated in place, elsewhere it is printed every ten seconds.
Needs Python's standard library alone.
"""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

UNITS = {'bytes': 1e-6, 'kB': 1e-3, 'MB': 1.0, 'GB': 1e3}
SIZE = r'([\d.]+) (bytes|kB|MB|GB)'
FILE = re.compile(rf'\s*(Downloading|Using cached) (\S+) \({SIZE}\)')
BAR = re.compile(r'([\d.]+)/[\d.]+ (bytes|kB|MB|GB)')  # received / size of the current file
ESCAPES = re.compile(r'\x1b\[[0-9;?]*[A-Za-z]')
NO_NETWORK = re.compile(
    'NewConnectionError|NameResolutionError|Temporary failure in name resolution'
    '|Network is unreachable|ConnectTimeoutError|ReadTimeoutError|ProxyError'
)
OUTPUT_LINES = 60  # printed if pip fails
TERMINAL_INTERVAL, LOG_INTERVAL = 0.2, 10.0  # [s] between updates


class Progress:
    """What pip has done so far, from the lines that it prints."""

    def __init__(self, total: float):
        self.total = total  # [MB]
        self.finished = 0.0  # [MB] of whole files, with those from pip's cache
        self.current = 0.0  # [MB] received of the file that is being downloaded
        self.size = 0.0  # [MB] of that file
        self.from_cache = 0.0  # [MB]
        self.file = ''
        self.installing = False
        self.no_network = False
        self.started = time.monotonic()
        self.first_file = self.started  # time at which its download began

    def read(self, line: str) -> None:
        """Take in a line of pip, or a state of its progress bar."""
        if NO_NETWORK.search(line):
            self.no_network = True
        elif found := FILE.match(line):
            if found[2].endswith('.metadata'):
                return
            self._finish_file()
            if not self.file:
                self.first_file = time.monotonic()
            self.file = found[2].rpartition('/')[2].partition('-')[0]
            size = float(found[3]) * UNITS[found[4]]
            if found[1] == 'Downloading':
                self.size = size
            else:
                self.finished += size
                self.from_cache += size
        elif found := BAR.search(line):
            self.current = float(found[1]) * UNITS[found[2]]
        elif line.startswith('Installing collected packages'):
            self._finish_file()
            self.installing = True

    def _finish_file(self) -> None:
        self.finished += self.size
        self.size = self.current = 0.0

    def text(self) -> str:
        """State in a few words."""
        if self.installing:
            return 'installing'
        done = self.finished + self.current
        downloaded = done - self.from_cache
        if not self.total:
            return 'building'
        if not done:
            return 'waiting for the network' if self.no_network else 'looking for packages'
        if done >= self.total:
            return f'{done:.0f} MB, {self.file}'
        elapsed = time.monotonic() - self.first_file
        left = (self.total - done) * elapsed / downloaded if downloaded > 1 else None
        wait = f', {minutes(left)} left' if left is not None else ''
        return f'{done:.0f} of {self.total:.0f} MB{wait}, {self.file}'


def minutes(seconds: float) -> str:
    """Format a time as m:ss."""
    return f'{int(seconds) // 60}:{int(seconds) % 60:02}'


def lines_of(descriptor: int, process: subprocess.Popen) -> Iterator[str]:
    """Yield lines and states of progress bars as they are printed, '' if there is no new one."""
    rest = b''
    while True:
        ready, _, _ = select.select([descriptor], [], [], TERMINAL_INTERVAL)
        if not ready:
            yield ''
            if process.poll() is not None:
                return
            continue
        try:
            data = os.read(descriptor, 65536)
        except OSError:  # the other end of a terminal was closed
            return
        *whole, rest = re.split(rb'[\r\n]+', rest + data)
        for line in whole:
            yield ESCAPES.sub('', line.decode(errors='replace'))


def run(what: str, total: float, arguments: list[str]) -> int:
    """Run pip; return its exit code."""
    # pip draws its progress bar in a terminal only.
    ours, theirs = os.openpty()
    command = [sys.executable, '-m', 'pip', '--disable-pip-version-check', *arguments]
    environment = os.environ | {'TERM': 'xterm', 'NO_COLOR': '1', 'COLUMNS': '200'}
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    progress, output = Progress(total), deque[str](maxlen=OUTPUT_LINES)
    in_place, shown = sys.stderr.isatty(), ''
    next_time = time.monotonic() + (0 if in_place else LOG_INTERVAL)
    for line in lines_of(ours, process):
        progress.read(line)
        if line.strip() and not BAR.search(line) and not line.startswith('WARNING'):
            output.append(re.sub(r' \(from versions: .*\)', '', line))
        if time.monotonic() < next_time:
            continue
        next_time = time.monotonic() + (TERMINAL_INTERVAL if in_place else LOG_INTERVAL)
        elapsed = time.monotonic() - progress.started
        shown = f'dev: {what}: {progress.text()} ({minutes(elapsed)})'
        print(
            f'\r\x1b[K{shown}' if in_place else shown,
            end='' if in_place else '\n',
            file=sys.stderr,
        )
        sys.stderr.flush()
    if in_place and shown:
        print('\r\x1b[K', end='', file=sys.stderr)
    code = process.wait()
    elapsed = minutes(time.monotonic() - progress.started)
    if code == 0:
        print(f'dev: {what}: installed in {elapsed}', file=sys.stderr)
    elif progress.no_network:
        print(f'dev: {what}: no network: pip can not reach its index', file=sys.stderr)
    else:
        print(*output, f'dev: {what}: pip failed', sep='\n', file=sys.stderr)
    return code


def main() -> int:
    """Run the program; return its exit code."""
    what, total, *arguments = sys.argv[1:]
    try:
        return run(what, float(total), arguments)
    except KeyboardInterrupt:
        with suppress(OSError):
            print(f'\ndev: {what}: interrupted; the same command continues', file=sys.stderr)
        return 130


if __name__ == '__main__':
    sys.exit(main())
