"""
Any program of the package on a stand-in for Rockchip's library that computes as the CPU does.

usage: run_on_standin.py MODULE LIBRARY GENERATION [ORDER]... -- ARGUMENTS OF MODULE.main
order: fail:FUNCTION:CODE:TIMES or hang:FUNCTION
"""

import sys
from importlib import import_module
from pathlib import Path

from rknn_standin import Standin

from superpoint_rknn.runtimes.model_files import default_model
from superpoint_rknn.runtimes.onnx.runtime import OnnxRuntime

separator = sys.argv.index('--')
module, library, generation, *orders = sys.argv[1:separator]
standin = Standin(int(generation), Path(library))
standin.play(OnnxRuntime(default_model(None)))
for order in orders:
    kind, function, *numbers = order.split(':')
    if kind == 'fail':
        standin.fail(function, *map(int, numbers))
    else:
        standin.hang(function, True)
code = import_module(module).main(sys.argv[separator + 1 :])
violations = standin.violations()
print(f'violations: {violations or "none"}')
sys.exit(code)
