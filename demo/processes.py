"""The processes of the demo: started together, watched together, never left behind."""

from __future__ import annotations

import os
import random
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PROFILES = Path(__file__).parent.parent / 'config' / 'fastdds.xml'
STOP_TIMEOUT = 10.0  # [s] from SIGINT to SIGKILL
# Of util-linux: the kernel kills the process when the one that started it dies. Python's own way,
# preexec_fn, runs Python code while forking, where a Ctrl-C would be swallowed.
BOUND_TO_US = ('setpriv', '--pdeathsig', 'KILL', '--')
SEVERITY = re.compile(r'\[[A-Z]+\] \[[\d.]+\] \[\S*\]: ')  # how ROS begins a line of a log
HARMLESS = re.compile(r'\s*$|\[(DEBUG|INFO|WARN)\]')


class ProcessError(RuntimeError):
    """A process of the demo ended, or said nothing in time; the message says why."""


def environment(log: Path) -> dict[str, str]:
    """Variables of a ROS graph of its own: this machine only, images through shared memory."""
    return os.environ | {
        'RMW_IMPLEMENTATION': 'rmw_fastrtps_cpp',
        'ROS_DOMAIN_ID': str(free_domain()),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        'FASTDDS_DEFAULT_PROFILES_FILE': str(PROFILES),
        'ROS_LOG_DIR': str(log),
    }


def free_domain() -> int:
    """
    A ROS domain that nothing on this machine uses.

    The first participant of domain d listens on UDP port 7400 + 250 d + 10 (RTPS 2.2, 9.6.1.1).
    """
    for domain in random.sample(range(1, 102), 101):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(('', 7410 + 250 * domain))
            except OSError:
                continue
            return domain
    raise ProcessError('all ROS domains from 1 to 101 are in use')


class Processes:
    """
    Processes that live no longer than this context, nor than the process that made it.

    What they write goes to `log`/NAME.log, but for those that talk: their stdin and stdout are
    lines to and from here.
    """

    def __init__(self, log: Path):
        self._log = log
        self._environment = environment(log)
        self._running: dict[str, subprocess.Popen] = {}

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_) -> None:
        for process in self._running.values():
            process.send_signal(signal.SIGINT)
        for process in self._running.values():
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(self, name: str, *command: object, talks: bool = True) -> None:
        """Start Python on `command`, out of the reach of the terminal's Ctrl-C."""
        with (self._log / f'{name}.log').open('w') as log:
            self._running[name] = subprocess.Popen(
                [*BOUND_TO_US, sys.executable, *map(str, command)],
                env=self._environment,
                stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE if talks else log,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    def tell(self, name: str, line: object) -> None:
        """Write a line to a process."""
        print(line, file=self._running[name].stdin, flush=True)

    def hear(self, name: str, timeout: float, tick: Callable[[float], None] | None = None) -> str:
        """
        Next line that a process prints; calls `tick` with the seconds waited, ten times a second.

        Raises ProcessError if any process ends before, or after `timeout` [s].
        """
        start = time.monotonic()
        out = self._running[name].stdout
        while not select.select([out], [], [], 0.1)[0]:
            waited = time.monotonic() - start
            try:
                self._check()
            except ProcessError:
                if select.select([out], [], [], 0)[0]:  # its last words came meanwhile
                    break
                raise
            if waited > timeout:
                raise ProcessError(f'{name} said nothing for {timeout:g} s{self._last_words()}')
            if tick:
                tick(waited)
        line = self._running[name].stdout.readline()
        if not line:
            self.finish(name)
            raise ProcessError(f'{name} ended too early{self._last_words()}')
        return line.strip()

    def finish(self, name: str, *, interrupt: bool = False) -> None:
        """Wait for a process to end; ProcessError unless it does so in time with exit code 0."""
        process = self._running[name]
        if interrupt:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise ProcessError(f'{name} did not end within {STOP_TIMEOUT:g} s') from None
        self._check(name)
        del self._running[name]

    def _check(self, *names: str) -> None:
        for name in names or self._running:
            code = self._running[name].poll()
            if code or (code == 0 and not names):
                raise ProcessError(f'{name} ended with exit code {code}{self._last_words()}')

    def _last_words(self) -> str:
        """What the processes complained of last, for an error message."""
        words = []
        for name in self._running:
            lines = (self._log / f'{name}.log').read_text(errors='replace').splitlines()
            lines = [line.strip() for line in lines if not HARMLESS.match(line)]
            words += [f'{name}: {SEVERITY.sub("", lines[-1])}'] if lines else []
        return f' ({"; ".join(words)})' if words else ''
