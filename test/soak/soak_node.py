"""The superpoint node on recorded outputs of the network: soak_node.py RECORDING."""

import sys
from pathlib import Path

from superpoint_rknn.bench.recordings import RecordedRuntime, read_recording
from superpoint_rknn.nodes.common.process import run_node
from superpoint_rknn.nodes.superpoint.node import SuperPointNode


class RecordedNode(SuperPointNode):
    """The superpoint node with a RecordedRuntime."""

    def _open_runtime(self):
        return RecordedRuntime(read_recording(Path(sys.argv[1])))


if __name__ == '__main__':
    sys.exit(run_node(RecordedNode))
