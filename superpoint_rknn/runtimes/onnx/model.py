"""Read untrusted ONNX files, which must be self-contained and have a SuperPoint's tensors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError, Message
from onnx import TensorProto

from superpoint_rknn.features.quantization import Quantization
from superpoint_rknn.runtimes.runtime import ModelError, TensorSpec, check_tensors

DTYPES: dict[str, np.dtype] = {
    'tensor(uint8)': np.dtype(np.uint8),
    'tensor(int8)': np.dtype(np.int8),
    'tensor(float)': np.dtype(np.float32),
}
LOGIT_CHANNELS = 65
DOMAINS = {'', 'ai.onnx', 'com.microsoft'}  # of onnxruntime's own operators


def read_onnx(path: Path) -> tuple[onnx.ModelProto, bytes]:
    """
    Read a model; return it and the content of its file.

    Raises ModelError if the file is missing or not an ONNX model, if it refers to external data
    (which could be any file of this machine), or if it needs custom operators.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f'{path}: {error.strerror}') from error
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise ModelError(f'{path}: not an ONNX model: {error}') from error
    if not model.graph.node:
        raise ModelError(f'{path}: an ONNX model without nodes, or not an ONNX model')
    for message in _messages(model):
        if isinstance(message, TensorProto) and (
            message.data_location == TensorProto.EXTERNAL or message.external_data
        ):
            raise ModelError(
                f'{path}: tensor {message.name!r} is stored in another file; save the model '
                'without external data'
            )
        if isinstance(message, onnx.NodeProto) and message.domain not in DOMAINS:
            raise ModelError(
                f'{path}: operator {message.op_type!r} of the domain {message.domain!r} is not '
                'supported; export the model with standard operators'
            )
    return model, content


def has_signed_first_layer(model: onnx.ModelProto) -> bool:
    """Return True if a layer that reads the image has, or may have, int8 weights."""
    inputs = {value.name for value in model.graph.input}
    unsigned = {c.name for c in model.graph.initializer if c.data_type == TensorProto.UINT8}
    readers = [node for node in model.graph.node if inputs.intersection(node.input)]
    # The slice holds the weights' name; it is empty in a damaged file with fewer inputs.
    return not all(
        node.op_type == 'Conv'
        or (node.op_type == 'QLinearConv' and unsigned.intersection(node.input[3:4]))
        for node in readers
    )


def read_tensors(
    path: Path, session: onnxruntime.InferenceSession
) -> tuple[TensorSpec, TensorSpec, TensorSpec]:
    """Specs of image, logits and descriptors. Raises ModelError if this is not a SuperPoint."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 2:
        raise ModelError(
            f'{path}: {len(inputs)} inputs and {len(outputs)} outputs, expected the input image '
            'and the outputs logits and descriptors'
        )
    metadata = session.get_modelmeta().custom_metadata_map
    image, *maps = (_spec(path, node, metadata) for node in (*inputs, *outputs))
    maps.sort(key=lambda spec: spec.shape[1:2] != (LOGIT_CHANNELS,))
    logits, descriptors = maps
    if logits.dtype != np.float32:
        raise ModelError(f'{path}: {logits.name} is {logits.dtype}, expected float32 logits')
    try:
        check_tensors(image, logits, descriptors)
    except ModelError as error:
        raise ModelError(f'{path}: {error}') from error
    return image, logits, descriptors


def _spec(path: Path, node: onnxruntime.NodeArg, metadata: dict[str, str]) -> TensorSpec:
    dtype = DTYPES.get(node.type)
    if dtype is None:
        raise ModelError(f'{path}: {node.name} is {node.type}, not one of {", ".join(DTYPES)}')
    if not all(isinstance(side, int) for side in node.shape):
        raise ModelError(f'{path}: {node.name} has shape {node.shape}, expected a fixed one')
    quantization = None
    if dtype != np.float32:
        try:
            scale = float(metadata[f'{node.name}.scale'])
            zero_point = int(metadata[f'{node.name}.zero_point'])
        except (KeyError, ValueError) as error:
            raise ModelError(
                f'{path}: the quantisation of {node.name!r} is not stated: metadata '
                f'{node.name}.scale and {node.name}.zero_point are missing or no numbers; make '
                'the model by `superpoint_rknn quantize`'
            ) from error
        limits = np.iinfo(dtype)
        if not (0 < scale < np.inf and limits.min <= zero_point <= limits.max):
            raise ModelError(
                f'{path}: {node.name}: scale {scale}, zero point {zero_point}, expected a '
                f'positive scale and a zero point of {limits.min} to {limits.max}'
            )
        quantization = Quantization(scale, zero_point, dtype)
    return TensorSpec(node.name, tuple(node.shape), dtype, quantization)


def _messages(message: Message) -> Iterator[Message]:
    """Iterate over all messages inside a message, at any depth."""
    for _, value in message.ListFields():
        if isinstance(value, (bytes, str, int, float)):
            continue
        for item in [value] if isinstance(value, Message) else value:
            if isinstance(item, Message):
                yield item
                yield from _messages(item)
