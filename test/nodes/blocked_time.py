"""
Measure how long callbacks block an executor.

As a program: run the superpoint node for a second; print that time, and whether onnxruntime was
imported before callbacks ran. Usage: blocked_time.py ROS-ARGUMENTS.
"""

import sys
import time

from superpoint_rknn.nodes.common.background_read import BackgroundRead
from superpoint_rknn.nodes.common.process import run_node
from superpoint_rknn.nodes.superpoint.node import SuperPointNode

PERIOD = 0.005  # [s] of the timer
LONGEST = 0.2  # [s] of CPU time for all callbacks between two of the timer; an import takes more


class BlockedTime:
    """
    Timer of a node that measures the most CPU time of the executor's thread between two callbacks.

    A loaded machine delays callbacks, too, but that takes no CPU time. Nor does waiting: see
    `record_waits`.
    """

    def __init__(self, node):
        self.longest = 0.0  # [s]
        self._last = time.thread_time()
        node.create_timer(PERIOD, self._on_timer)

    def _on_timer(self):
        now = time.thread_time()
        self.longest, self._last = max(self.longest, now - self._last), now


def record_waits(monkeypatch):
    """Return a list to which the timeout [s] of each wait for a file is appended."""
    timeouts, wait = [], BackgroundRead.wait

    def record_and_wait(self, timeout):
        timeouts.append(timeout)
        return wait(self, timeout)

    monkeypatch.setattr(BackgroundRead, 'wait', record_and_wait)
    return timeouts


class StartingNode(SuperPointNode):
    """The superpoint node, which ends the process once it was active for a second."""

    def prepare(self):
        """Prepare the node; measure from now on."""
        super().prepare()
        print(f'imported: {"onnxruntime" in sys.modules}', flush=True)
        self._blocked = BlockedTime(self)

    def check_inputs(self):
        """End; called a second after the activation."""
        print(f'longest: {self._blocked.longest}', flush=True)
        self._interruption.requested = True


if __name__ == '__main__':
    sys.exit(run_node(StartingNode))
