"""
Run a program of the package on a stand-in for Rockchip's library that emulates an NPU by the CPU.

usage: run_on_standin.py MODULE LIBRARY GENERATION [FAULT]... -- ARGUMENTS OF MODULE.main
FAULT: fail:FUNCTION:CODE:TIMES or block:FUNCTION
"""

import sys
from importlib import import_module
from pathlib import Path

from rknn_standin import Standin

from superpoint_rknn.runtimes.model_files import default_model
from superpoint_rknn.runtimes.onnx.runtime import OnnxRuntime

separator = sys.argv.index('--')
module, library, generation, *faults = sys.argv[1:separator]
standin = Standin(int(generation), Path(library))
standin.emulate(OnnxRuntime(default_model(None)))
for fault in faults:
    kind, function, *numbers = fault.split(':')
    if kind == 'fail':
        standin.fail(function, *map(int, numbers))
    else:
        standin.block(function, True)
code = import_module(module).main(sys.argv[separator + 1 :])
violations = standin.violations()
print(f'violations: {violations or "none"}')
sys.exit(code)
