"""`superpoint_rknn view` beside a run of the demo or of vio."""

from __future__ import annotations

import os
import signal
import sys

from superpoint_rknn.processes import Process, ProcessGroup, stop
from superpoint_rknn.view.viewer import find_interpreter

START_TIMEOUT = 90.0  # [s] on a busy machine


class LiveView:
    """
    Context manager of the view of a graph, which outlives the graph.

    is_wanted: False: do nothing.
    Attribute `domain`: of ROS, in which other commands find the graph; None without a view.
    """

    def __init__(self, is_wanted: bool):
        """Raise FileNotFoundError if rerun-sdk is not installed."""
        self.is_wanted = is_wanted
        self._process: Process | None = None
        self.domain = int(os.environ.get('ROS_DOMAIN_ID') or 0) if is_wanted else None
        if is_wanted:
            find_interpreter()

    def start(self, graph: ProcessGroup) -> None:
        """Start it in a graph; print the address of the page. Raises ProcessError if it fails."""
        if not self.is_wanted:
            return
        command = [sys.executable, '-m', 'superpoint_rknn.cli', 'view']
        process = graph.start('view', *command, pipes=True)
        print(f'view: {graph.read_line(process, START_TIMEOUT)}', file=sys.stderr)
        graph.processes.remove(process)  # its end is not that of the run
        self._process = process

    def wait(self) -> None:
        """Keep the page open until Ctrl-C, or until the view ends."""
        if self._process:
            print('view: open until Ctrl-C', file=sys.stderr)
            try:
                self._process.wait()
            except KeyboardInterrupt:
                print(file=sys.stderr)

    def __enter__(self) -> LiveView:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process and self._process.poll() is None:
            stop([self._process], number=signal.SIGINT)
