"""
Run a program of the package on a stand-in for Rockchip's library that emulates an NPU by the CPU.

usage: run_on_standin.py MODULE LIBRARY GENERATION [ORDER]... -- ARGUMENTS OF MODULE.main
ORDER: a fault, fail:FUNCTION:CODE:TIMES, block:FUNCTION or hang:INFERENCES, after which the next
one never returns, and which have the outputs of the first one, so that they take no time; or
`constant`: equal outputs for all images, so that the process holds about what it would hold on a
board
"""

import itertools
import sys
import threading
from importlib import import_module
from pathlib import Path

import numpy as np
from rknn_standin import Standin

separator = sys.argv.index('--')
module, library, generation, *orders = sys.argv[1:separator]
standin = Standin(int(generation), Path(library))
if 'constant' in orders:
    orders.remove('constant')
    standin.set_superpoint(400, 640, 256)
    logits, cells = np.zeros((65, 50, 80), np.float16), np.arange(0, 4000, 3)
    logits[cells % 64, cells // 80, cells % 80] = 5 + cells % 97 / 16
    logits[64] = 5  # no keypoints elsewhere
    standin.set_output(0, logits)
else:
    from superpoint_rknn.runtimes.model_files import default_model
    from superpoint_rknn.runtimes.onnx.runtime import OnnxRuntime

    emulated = OnnxRuntime(default_model(None))
    for order in [order for order in orders if order.startswith('hang:')]:
        orders.remove(order)
        left = itertools.chain(range(int(order.partition(':')[2])), itertools.repeat(None))
        infer, known = emulated.infer, {}

        def infer_or_hang(image, raw, infer=infer, left=left, known=known):
            if next(left) is None:
                threading.Event().wait()
            if (raw is None) not in known:
                known[raw is None] = infer(image, raw), None if raw is None else raw.copy()
            logits, descriptors = known[raw is None]
            if raw is not None:
                raw[:] = descriptors
            return logits

        emulated.infer = infer_or_hang
    standin.emulate(emulated)
for order in orders:
    kind, function, *numbers = order.split(':')
    if kind == 'fail':
        standin.fail(function, *map(int, numbers))
    else:
        standin.block(function, True)
code = import_module(module).main(sys.argv[separator + 1 :])
violations = standin.violations()
print(f'imported: {" ".join(sys.modules)}')
print(f'violations: {violations or "none"}')
sys.exit(code)
