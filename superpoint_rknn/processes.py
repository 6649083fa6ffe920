"""Start child processes in a ROS graph of their own, exchange lines with them, stop them."""

from __future__ import annotations

import os
import random
import re
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from superpoint_rknn.files import find_shared_file

STOP_TIMEOUT = 10.0  # [s] from the signal to SIGKILL
# setpriv (util-linux): the kernel kills the process when its parent dies. Popen's preexec_fn could
# set this, too, but runs Python code in the forked child, where a Ctrl-C would be swallowed.
KILLED_WITH_PARENT = ('setpriv', '--pdeathsig', 'KILL', '--')
LOG_PREFIX = re.compile(r'\[[A-Z]+\] \[[\d.]+\] \[\S*\]: ')  # severity, time and logger of ROS
HARMLESS_LINE = re.compile(r'\s*$|\[(DEBUG|INFO|WARN)\]')


class ProcessError(RuntimeError):
    """A child process failed, ended too early or did not answer in time."""


def reserve_domain() -> tuple[int, socket.socket]:
    """
    Return a ROS domain id from 1 to 101 that is unused on this machine, and its reservation.

    A domain d is in use if UDP port 7400 + 250 d + 10 is (RTPS 2.2, 9.6.1.1). Until the first node
    opens that port, the reservation, a socket that the caller closes later, keeps other callers of
    this function from using d. Raises ProcessError if all domains are in use.
    """
    for domain in random.sample(range(1, 102), 101):
        reservation = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                reservation.bind(f'\0superpoint_rknn_ros_domain_{domain}')
                probe.bind(('', 7410 + 250 * domain))
            except OSError:
                reservation.close()
                continue
            return domain, reservation
    raise ProcessError('all ROS domains from 1 to 101 are in use')


def graph_variables(domain: int) -> dict[str, str]:
    """
    Return environment variables for a ROS graph on localhost that uses shared memory.

    A Fast DDS profile that the environment already sets is kept. Raises FileNotFoundError if the
    package's profile is not installed.
    """
    distro = os.environ.get('ROS_DISTRO')
    variables = {'ROS_DOMAIN_ID': str(domain), 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
    if distro == 'humble':  # knows no discovery range; later versions warn of this variable
        variables['ROS_LOCALHOST_ONLY'] = '1'
    profile_names = ['FASTDDS_DEFAULT_PROFILES_FILE']
    if distro in ('humble', 'jazzy'):  # Fast DDS 2; version 3 warns of this name
        profile_names.append('FASTRTPS_DEFAULT_PROFILES_FILE')
    for name in profile_names:
        variables[name] = os.environ.get(name) or str(find_shared_file('config/fastdds.xml'))
    return variables


def stop(
    processes: Iterable[subprocess.Popen[Any]],
    timeout: float = STOP_TIMEOUT,
    number: int = signal.SIGINT,
) -> None:
    """
    Send a signal to processes and wait for them; kill those still alive after `timeout` [s].

    number: of the signal. After SIGINT a node removes its shared memory; after SIGKILL it can't.
    """
    processes = list(processes)
    for process in processes:
        process.send_signal(number)
    end = time.monotonic() + timeout
    for process in processes:
        try:
            process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Process(subprocess.Popen[str]):
    """
    Child process with a name and a log file.

    It does not receive Ctrl-C of the terminal, and is killed when this process dies.
    pipes: True: stdin and stdout are pipes to this process, for lines; False: stdin is empty,
    stdout goes to the log, as stderr always does.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[object],
        log: Path,
        environment: Mapping[str, str],
        pipes: bool,
    ):
        self.name = name
        self.log = log
        self._received = b''  # from stdout, not taken yet
        self._ended = False  # stdout is closed
        with log.open('w') as output:
            super().__init__(
                [*KILLED_WITH_PARENT, *map(str, command)],
                env=environment,
                stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipes else output,
                stderr=output,
                text=True,
                start_new_session=True,
            )

    def write_line(self, line: object) -> None:
        """Write a line to the process's stdin."""
        print(line, file=self.stdin, flush=True)

    @property
    def has_line(self) -> bool:
        """Whether a line was received that was not taken."""
        return b'\n' in self._received

    def receive(self, timeout: float) -> bool:
        """Receive from stdout for at most `timeout` [s]; True for a whole line or at its end."""
        assert self.stdout is not None, f'{self.name} was started without pipes'
        # Not its readline, which may buffer more lines than it returns: select can't see them.
        handle = self.stdout.fileno()
        if not self.has_line and select.select([handle], [], [], timeout)[0]:
            received = os.read(handle, 65536)
            self._received += received
            self._ended = not received
        return self.has_line or self._ended

    def take_line(self) -> str:
        """Return the next received line without its line break."""
        line, _, self._received = self._received.partition(b'\n')
        return line.decode(errors='replace').strip()

    def take_rest(self, timeout: float) -> str:
        """Wait for the end; return what is left of stdout. Raises subprocess.TimeoutExpired."""
        output, _ = self.communicate(timeout=timeout)
        return self._received.decode(errors='replace') + (output or '')

    def last_error(self) -> str:
        """Return the last log line that is not a debug, info or warning message; '' if none."""
        lines = self.log.read_text(errors='replace').splitlines()
        errors = [line.strip() for line in lines if not HARMLESS_LINE.match(line)]
        return LOG_PREFIX.sub('', errors[-1]) if errors else ''


class ProcessGroup:
    """
    Context manager of child processes in one ROS graph; stops them on exit.

    log_dir: existing folder for the log files NAME.log. domain: of ROS; None: an unused one.
    """

    def __init__(self, log_dir: Path, domain: int | None = None):
        self._reservation: socket.socket | None = None
        if domain is None:
            domain, self._reservation = reserve_domain()
        self.domain = domain
        self.processes: list[Process] = []  # without those that `finish` has waited for
        self._log_dir = log_dir
        self._variables = graph_variables(self.domain) | {'ROS_LOG_DIR': str(log_dir)}

    def __enter__(self) -> ProcessGroup:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the processes and release the ROS domain."""
        stop(self.processes)
        if self._reservation:
            self._reservation.close()

    def start(
        self,
        name: str,
        *command: object,
        pipes: bool = False,
        variables: Mapping[str, str] | None = None,
    ) -> Process:
        """
        Start a command in the graph.

        pipes: see Process. variables: further environment variables.
        """
        environment = {**os.environ, **self._variables, **(variables or {})}
        process = Process(name, command, self._log_dir / f'{name}.log', environment, pipes)
        self.processes.append(process)
        return process

    def read_line(
        self, process: Process, timeout: float, on_wait: Callable[[float], None] | None = None
    ) -> str:
        """
        Wait for the next line of a process's stdout; return it without its line break.

        on_wait: called ten times a second with the time waited [s].
        Raises ProcessError after `timeout` [s], or if any process of the group ends meanwhile.
        """
        start = time.monotonic()
        while not process.receive(0.1):
            waited = time.monotonic() - start
            ended = [p for p in self.processes if p.poll() is not None]
            if ended and process.receive(0):  # it printed meanwhile
                break
            if ended:
                raise self._exit_error(ended[0])
            if waited > timeout:
                raise self._error(f'{process.name} printed nothing for {timeout:g} s')
            if on_wait:
                on_wait(waited)
        if not process.has_line:
            self.finish(process)
            raise ProcessError(f'{process.name} ended too early')
        return process.take_line()

    def finish(self, process: Process, timeout: float = STOP_TIMEOUT) -> str:
        """
        Wait until a process ends; return the rest of its stdout.

        Raises ProcessError if it does not end within `timeout` [s] with exit code 0.
        """
        try:
            output = process.take_rest(timeout)
        except subprocess.TimeoutExpired:
            raise self._error(f'{process.name} did not end within {timeout:g} s') from None
        if process.returncode:
            raise self._exit_error(process)
        self.processes.remove(process)
        return output

    def _exit_error(self, process: Process) -> ProcessError:
        return self._error(f'{process.name} ended with exit code {process.returncode}')

    def _error(self, reason: str) -> ProcessError:
        """Return an error that quotes the last error message in the log of each process."""
        quotes = [f'{p.name}: {error}' for p in self.processes if (error := p.last_error())]
        return ProcessError(f'{reason} ({"; ".join(quotes)})' if quotes else reason)
