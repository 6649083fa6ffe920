"""Detect CPUs on which onnxruntime's uint8 x int8 kernels overflow."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnxruntime

from superpoint_rknn.runtimes.onnx.protobuf import (
    Graph,
    Model,
    Node,
    OperatorSetId,
    Tensor,
    ValueInfo,
    encode,
)

DATA_TYPES = {'float32': 1, 'uint8': 2, 'int8': 3}  # TensorProto.DataType
CHANNELS, SIDE = 16, 8
BYTE, WEIGHT = 255, 127  # factors of the largest product


@cache
def has_int8_overflow() -> bool:
    """
    Return True if onnxruntime's uint8 x int8 convolution clips sums on this CPU.

    x86 CPUs with AVX2 but without VNNI add pairs of products in 16 bits, which clips
    255 * 127 + 255 * 127 to 32767. The test compares a small convolution with the exact sum.
    """
    exact = CHANNELS * BYTE * WEIGHT
    scale = exact / 200  # the exact sum becomes 200, a clipped one about 100
    values: dict[str, np.generic | np.ndarray] = {
        'one': np.float32(1),
        'zero': np.uint8(0),
        'weight_zero': np.int8(0),
        'scale': np.float32(scale),
        'weights': np.full((CHANNELS, CHANNELS, 1, 1), WEIGHT, np.int8),
    }
    shape = (1, CHANNELS, SIDE, SIDE)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        _convolution(shape, values), options, providers=['CPUExecutionProvider']
    )
    (y,) = session.run(None, {'x': np.full(shape, BYTE, np.uint8)})
    return bool((y != 200).any())


def _convolution(shape: tuple[int, ...], constants: dict[str, np.generic | np.ndarray]) -> bytes:
    """ONNX model of one QLinearConv from x to y, uint8 of one shape."""
    inputs = ('x', 'one', 'zero', 'weights', 'one', 'weight_zero', 'scale', 'zero')
    node = encode(
        *((Node.INPUT, name) for name in inputs), (Node.OUTPUT, 'y'), (Node.OP_TYPE, 'QLinearConv')
    )
    graph = encode(
        (Graph.NODE, node),
        (Graph.NAME, 'extremes'),
        *((Graph.INITIALIZER, _tensor(*constant)) for constant in constants.items()),
        (Graph.INPUT, _value_info('x', shape)),
        (Graph.OUTPUT, _value_info('y', shape)),
    )
    opset = encode((OperatorSetId.VERSION, 12))
    return encode((Model.IR_VERSION, 7), (Model.GRAPH, graph), (Model.OPSET_IMPORT, opset))


def _tensor(name: str, values: np.generic | np.ndarray) -> bytes:
    return encode(
        *((Tensor.DIMS, side) for side in values.shape),
        (Tensor.DATA_TYPE, DATA_TYPES[values.dtype.name]),
        (Tensor.NAME, name),
        (Tensor.RAW_DATA, values.tobytes()),
    )


def _value_info(name: str, shape: tuple[int, ...]) -> bytes:
    """ValueInfoProto of a uint8 tensor."""
    dims = encode(*((1, encode((1, side))) for side in shape))  # TensorShapeProto: dim.dim_value
    tensor = encode((1, DATA_TYPES['uint8']), (2, dims))  # TypeProto.Tensor: elem_type, shape
    return encode((ValueInfo.NAME, name), (ValueInfo.TYPE, encode((1, tensor))))
