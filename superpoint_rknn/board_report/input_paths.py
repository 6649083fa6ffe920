"""The identity of the input table, tested on the NPU: pass-through against normal input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from superpoint_rknn.board_report.npu import Fetched, NpuCalls
from superpoint_rknn.board_report.privacy import public_text
from superpoint_rknn.features.quantization import BYTES
from superpoint_rknn.runtimes.model_files import resolve_input_table
from superpoint_rknn.runtimes.rknn.abi import Format


def ramp_image(height: int, width: int) -> np.ndarray:
    """Return an image with all grey values, (height, width) uint8."""
    return np.add.outer(np.arange(height), np.arange(width)).astype(np.uint8)


def input_table_of(calls: NpuCalls, path: Path) -> np.ndarray:
    """Return the input table, (256,); of an input that is not quantized, the identity."""
    quantization = calls.image.spec.quantization
    if quantization is None:
        return BYTES
    table = resolve_input_table(path, quantization, None, None)
    return BYTES if table is None else table


def compare_inputs(
    calls: NpuCalls, ramp: np.ndarray, normal: list[Fetched], table: np.ndarray
) -> dict[str, Any]:
    """
    Compare the outputs of the pass-through input with those of the library's normalisation.

    ramp: (H, W) uint8. normal: outputs of the library's normalisation. table: (256,) input table.
    """
    passed = calls.infer(table.view(np.uint8)[ramp], pass_through=True)
    equal = [float((a.bytes == b.bytes).mean()) for a, b in zip(normal, passed, strict=True)]
    others = {'identity': BYTES, 'sign_flip': BYTES ^ np.uint8(0x80)}
    explains = None
    if min(equal) < 1:
        for name, other in others.items():
            outputs = calls.infer(other[ramp], pass_through=True)
            if all(np.array_equal(a.bytes, b.bytes) for a, b in zip(normal, outputs, strict=True)):
                explains = name
    return {
        'equal_logits': round(equal[0], 6),
        'equal_descriptors': round(equal[1], 6),
        'explained_by': explains,
    }


def copied(fetched: Fetched) -> Fetched:
    """Return a copy, which the next call does not overwrite."""
    return Fetched(fetched.tensor, fetched.asked, fetched.reported, fetched.buffer.copy())


def output_report(fetched: Fetched) -> dict[str, Any]:
    """Return what the report says of one fetched output."""
    return {
        'name': public_text(fetched.tensor.spec.name),
        'index': fetched.tensor.index,
        'layout': Format(fetched.tensor.attr.fmt).name,
        'asked_bytes': fetched.asked,
        'reported_bytes': fetched.reported,
        'wrote_beyond': fetched.wrote_beyond,
    }
