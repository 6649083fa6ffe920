"""
Measure how long callbacks block an executor, by the delay of a timer.

As a program: run the superpoint node for a second; print that time, and whether onnxruntime was
imported before callbacks ran. Usage: blocked_time.py ROS-ARGUMENTS.
"""

import os
import sys

from core_time import Stopwatch

from superpoint_rknn.nodes.common.process import run_node
from superpoint_rknn.nodes.superpoint.node import SuperPointNode

PERIOD = 0.005  # [s] of the timer
LONGEST = 0.05  # [s] that a callback may take


class BlockedTime:
    """Timer of a node that measures the longest delay of its callback."""

    def __init__(self, node):
        self.longest = 0.0  # [s]
        self._watch = Stopwatch(os.getpid())
        node.create_timer(PERIOD, self._on_timer)

    def _on_timer(self):
        self.longest = max(self.longest, self._watch.lap() - PERIOD)


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
