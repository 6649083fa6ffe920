"""ONNX graphs whose inner tensors are outputs, run by onnxruntime on the CPU."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from superpoint_rknn.runtimes.onnx.runtime import ORT_ERRORS, physical_cores
from superpoint_rknn.runtimes.runtime import ModelError

ERRORS_ONLY = 3  # log level of onnxruntime


def open_session(
    model: onnx.ModelProto, name: Path | str, precise: bool = False
) -> onnxruntime.InferenceSession:
    """
    Load a model on the CPU.

    name: of the model in error messages.
    precise: avoid the 16-bit overflow of int8 weights, see has_int8_overflow.
    Raises ModelError if onnxruntime refuses the model.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = physical_cores()
    options.log_severity_level = ERRORS_ONLY
    if precise:
        options.add_session_config_entry('session.x64quantprecision', '1')
    try:
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=['CPUExecutionProvider']
        )
    except ORT_ERRORS as error:
        raise ModelError(f'{name}: onnxruntime refuses this model: {error}') from error


def compute(
    session: onnxruntime.InferenceSession, inputs: dict[str, np.ndarray], tensors: list[str]
) -> list[np.ndarray]:
    """
    Run a session on inputs (C, H, W) and return the named tensors, (C, h, w).

    Raises RuntimeError if onnxruntime fails.
    """
    try:
        outputs = session.run(tensors, {name: value[None] for name, value in inputs.items()})
    except ORT_ERRORS as error:
        raise RuntimeError(f'onnxruntime failed: {error}') from error
    return [output[0] for output in outputs]


def with_outputs(model: onnx.ModelProto, tensors: Iterable[str]) -> onnx.ModelProto:
    """Copy a model and make these tensors outputs, in addition to the outputs it has."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = {value.name for value in copy.graph.output}
    integers = {
        name: TensorProto.UINT8
        for node in copy.graph.node
        if node.op_type == 'QLinearConv'
        for name in node.output
    }
    for name in tensors:
        if name not in known:
            kind = integers.get(name, TensorProto.FLOAT)
            copy.graph.output.append(helper.make_tensor_value_info(name, kind, None))
    return copy
