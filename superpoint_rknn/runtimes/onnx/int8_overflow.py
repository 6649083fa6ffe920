"""Do this CPU's kernels multiply uint8 by int8 exactly?"""

from __future__ import annotations

from functools import cache

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

CHANNELS, SIDE = 16, 8
BYTE, WEIGHT = 255, 127  # the largest products


@cache
def has_int8_overflow() -> bool:
    """
    Return True if onnxruntime's uint8 x int8 convolution clips sums on this CPU.

    x86 with AVX2 and without VNNI adds pairs of products in 16 bits, where 255 * 127 + 255 * 127
    becomes 32767. Compares a small convolution of such values with the exact sum.
    """
    exact = CHANNELS * BYTE * WEIGHT
    scale = exact / 200  # the exact sum becomes 200, a clipped one about 100
    values = {
        'one': np.float32(1),
        'zero': np.uint8(0),
        'weight_zero': np.int8(0),
        'scale': np.float32(scale),
        'weights': np.full((CHANNELS, CHANNELS, 1, 1), WEIGHT, np.int8),
    }
    inputs = ['x', 'one', 'zero', 'weights', 'one', 'weight_zero', 'scale', 'zero']
    shape = [1, CHANNELS, SIDE, SIDE]
    graph = helper.make_graph(
        [helper.make_node('QLinearConv', inputs, ['y'])],
        'extremes',
        [helper.make_tensor_value_info('x', TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info('y', TensorProto.UINT8, shape)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 12)], ir_version=7)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=['CPUExecutionProvider']
    )
    (y,) = session.run(None, {'x': np.full(shape, BYTE, np.uint8)})
    return bool((y != 200).any())
