"""Integer network for onnxruntime, with the scheme of RKNN's asymmetric_affine-u8."""

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
    Quantize a float graph: per tensor, asymmetric, uint8 activations.

    ranges, percentile, semi: see quantize.
    Returns a model with the input `image` uint8 and the outputs `semi` float32 and `desc` uint8.
    Its metadata contain `image.scale`, `image.zero_point`, `desc.scale` and `desc.zero_point`.
    Equal inputs give equal bytes on equal machines.
    """
    model = _quantize(graph, calibration, ranges, percentile, semi, progress)
    _expose_integers(model)
    _use_uint8_in_first_layer(model)
    # The quantizer keeps tensors in sets, whose order differs between runs.
    model.graph.initializer.sort(key=lambda constant: constant.name)
    del model.graph.value_info[:]
    onnx.checker.check_model(model)
    return model


def _quantize(
    graph: onnx.ModelProto,
    calibration: list[CalibrationImage],
    ranges: str,
    percentile: float,
    semi: str,
    progress: Progress,
) -> onnx.ModelProto:
    """Replace the convolutions by QLinearConv with the static quantizer of onnxruntime."""
    # Avoids a warning to run a preprocessing, which does not change this graph.
    onnx.helper.set_model_props(graph, {'onnx.quant.pre_process': 'onnxruntime.quant'})
    options: dict[str, object] = {
        'WeightSymmetric': False,
        'ActivationSymmetric': False,
        'CalibStridedMinMax': 1,  # one image's activations in memory at a time
        'CalibPercentile': percentile,
    }
    if ranges == 'percentile':
        # The rare extreme grey values of an image are not outliers.
        options['TensorQuantOverrides'] = {IMAGE: [BYTE_IDENTITY]}
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        path = Path(folder, 'quantized.onnx')
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


def _expose_integers(model: onnx.ModelProto) -> None:
    """
    Remove the QuantizeLinear of the input and the DequantizeLinear of the descriptors.

    Their scales and zero points become metadata of the model.
    """
    graph = model.graph
    quantize = next(n for n in graph.node if n.op_type == 'QuantizeLinear' and n.input[0] == IMAGE)
    dequantize = next(n for n in graph.node if DESCRIPTORS in n.output)
    for node in (quantize, dequantize):
        graph.node.remove(node)
    renamed = {quantize.output[0]: IMAGE, dequantize.input[0]: DESCRIPTORS}
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    for value in (*graph.input, *graph.output):
        if value.name in renamed.values():
            value.type.tensor_type.elem_type = TensorProto.UINT8
    constants = {constant.name: numpy_helper.to_array(constant) for constant in graph.initializer}
    metadata = {}
    for tensor, node in ((IMAGE, quantize), (DESCRIPTORS, dequantize)):
        metadata[f'{tensor}.scale'] = repr(float(constants[node.input[1]]))
        metadata[f'{tensor}.zero_point'] = str(int(constants[node.input[2]]))
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, metadata)


def _use_uint8_in_first_layer(model: onnx.ModelProto) -> None:
    """
    Store the weights of the first layer as uint8, with 128 added to weights and zero point.

    int8 weights are faster, and used in all other layers. But x86 kernels without VNNI add pairs
    of uint8 x int8 products in 16 bits, which saturate: neighbouring bright pixels overflow them
    in most images; the activations of later layers almost never do.
    """
    node = next(n for n in model.graph.node if n.op_type == 'QLinearConv' and IMAGE in n.input)
    for constant in model.graph.initializer:
        values = numpy_helper.to_array(constant)
        if constant.name in node.input and values.dtype == np.int8:
            unsigned = (values.astype(np.int16) + 128).astype(np.uint8)
            constant.CopyFrom(numpy_helper.from_array(unsigned, constant.name))
