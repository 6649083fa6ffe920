"""
The superpoint node on a stand-in for Rockchip's library, which computes what the CPU runtime does.

usage: standin_node.py LIBRARY GENERATION [fail:FUNCTION:CODE:TIMES | hang:FUNCTION]... -- ROS ARGS
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / 'rknn_standin'))

from rknn_standin import Standin

from superpoint_rknn.nodes.superpoint_node import main
from superpoint_rknn.runtimes.onnx import OnnxRuntime
from superpoint_rknn.runtimes.runtime import default_model

separator = sys.argv.index('--')
library, generation, *orders = sys.argv[1:separator]
standin = Standin(int(generation), Path(library))
standin.play(OnnxRuntime(default_model(None)))
for order in orders:
    kind, function, *numbers = order.split(':')
    if kind == 'fail':
        standin.fail(function, *map(int, numbers))
    else:
        standin.hang(function, True)
code = main(sys.argv[separator + 1 :])
violations = standin.violations()
print(f'violations: {violations or "none"}')
sys.exit(code)
