"""The network in integers: what RKNN's asymmetric_affine-u8 computes, for onnxruntime."""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

from superpoint_rknn.network.network import DESCRIPTORS, IMAGE
from superpoint_rknn.quantize.calibration import CalibrationImage, CalibrationReader, Progress

METHODS = {'minmax': CalibrationMethod.MinMax, 'percentile': CalibrationMethod.Percentile}
BYTE_IDENTITY = {'scale': np.array(1, np.float32), 'zero_point': np.array(0, np.uint8)}


def integer_graph(
    graph: onnx.ModelProto,
    calibration: list[CalibrationImage],
    *,
    ranges: str = 'minmax',
    percentile: float = 99.99,
    semi: str = 'float',
    progress: Progress = iter,
) -> onnx.ModelProto:
    """
    Quantise a float graph: per tensor, asymmetric, uint8 activations.

    ranges, percentile, semi: see quantize.
    Input `image` uint8; outputs `semi` float32 and `desc` uint8. The metadata hold `image.scale`,
    `image.zero_point`, `desc.scale` and `desc.zero_point`.
    Equal inputs give equal bytes on equal machines.
    """
    model = _quantise(graph, calibration, ranges, percentile, semi, progress)
    _take_and_give_bytes(model)
    _unsigned_first_layer(model)
    # The quantiser keeps tensors in sets: their order would change from run to run.
    model.graph.initializer.sort(key=lambda constant: constant.name)
    del model.graph.value_info[:]
    onnx.checker.check_model(model)
    return model


def _quantise(
    graph: onnx.ModelProto,
    calibration: list[CalibrationImage],
    ranges: str,
    percentile: float,
    semi: str,
    progress: Progress,
) -> onnx.ModelProto:
    """Let onnxruntime's static quantiser replace the convolutions by QLinearConv."""
    # It would ask for its own preparation, which has nothing to do on a graph as plain as ours.
    onnx.helper.set_model_props(graph, {'onnx.quant.pre_process': 'onnxruntime.quant'})
    options = {
        'WeightSymmetric': False,
        'ActivationSymmetric': False,
        'CalibStridedMinMax': 1,  # one image's activations in memory at a time
        'CalibPercentile': percentile,
    }
    if ranges == 'percentile':
        # An image's rare darkest and brightest values are no outliers.
        options['TensorQuantOverrides'] = {IMAGE: [BYTE_IDENTITY]}
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        path = Path(folder, 'quantised.onnx')
        quantize_static(
            graph,
            path,
            CalibrationReader(calibration, IMAGE, progress),
            quant_format=QuantFormat.QOperator,
            op_types_to_quantize=['Conv', 'Relu', 'MaxPool'],
            per_channel=False,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=['convPb'] if semi == 'float' else [],
            calibrate_method=METHODS[ranges],
            extra_options=options,
        )
        return onnx.load(path)


def _take_and_give_bytes(model: onnx.ModelProto) -> None:
    """
    Take off the conversions at both ends: bytes go in, and the descriptors come out as bytes.

    What the bytes mean, scale and zero point, becomes the model's metadata.
    """
    graph = model.graph
    quantise = next(n for n in graph.node if n.op_type == 'QuantizeLinear' and n.input[0] == IMAGE)
    dequantise = next(n for n in graph.node if DESCRIPTORS in n.output)
    for node in (quantise, dequantise):
        graph.node.remove(node)
    renamed = {quantise.output[0]: IMAGE, dequantise.input[0]: DESCRIPTORS}
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    for value in (*graph.input, *graph.output):
        if value.name in renamed.values():
            value.type.tensor_type.elem_type = TensorProto.UINT8
    constants = {constant.name: numpy_helper.to_array(constant) for constant in graph.initializer}
    metadata = {}
    for tensor, node in ((IMAGE, quantise), (DESCRIPTORS, dequantise)):
        metadata[f'{tensor}.scale'] = repr(float(constants[node.input[1]]))
        metadata[f'{tensor}.zero_point'] = str(int(constants[node.input[2]]))
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, metadata)


def _unsigned_first_layer(model: onnx.ModelProto) -> None:
    """
    Store the first layer's weights as uint8: the same integers, plus 128, with the same meaning.

    int8 weights are the faster ones everywhere else. But x86 kernels without VNNI add pairs of
    uint8 x int8 products in 16 bits, where they saturate: neighbouring pixels, often both bright,
    overflow them in most images; the activations of the later layers practically never do.
    """
    node = next(n for n in model.graph.node if n.op_type == 'QLinearConv' and IMAGE in n.input)
    for constant in model.graph.initializer:
        values = numpy_helper.to_array(constant)
        if constant.name in node.input and values.dtype == np.int8:
            unsigned = (values.astype(np.int16) + 128).astype(np.uint8)
            constant.CopyFrom(numpy_helper.from_array(unsigned, constant.name))
