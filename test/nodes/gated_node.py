"""
The superpoint node on the CPU runtime, whose inferences wait for the test.

usage: gated_node.py SOCKET ROS-ARGUMENTS. Inferences run freely while no test listens at SOCKET.
"""

import contextlib
import socket
import sys

from superpoint_rknn.nodes.superpoint.node import main
from superpoint_rknn.runtimes.onnx.runtime import OnnxRuntime

infer = OnnxRuntime.infer


def wait_and_infer(self, *arguments):
    with socket.socket(socket.AF_UNIX) as gate:
        with contextlib.suppress(FileNotFoundError, ConnectionError):
            gate.connect(sys.argv[1])
            gate.recv(1)
        return infer(self, *arguments)


OnnxRuntime.infer = wait_and_infer
sys.exit(main(sys.argv[2:]))
