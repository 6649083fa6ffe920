"""Choose the runtime that executes a model file."""

from __future__ import annotations

import importlib.util
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superpoint_rknn.errors import NotReadyError
from superpoint_rknn.runtimes.runtime import (
    PASS_THROUGH,
    ModelError,
    ModelMissingError,
    Runtime,
    RuntimeNotReadyError,
    RuntimeUnavailableError,
)
from superpoint_rknn.settings import ParameterGroup, parameter

log = logging.getLogger(__name__)

SUFFIXES = {  # of the model files that each runtime supports
    'auto': ('.rknn', '.onnx'),
    'librknn': ('.rknn',),
    'rknnlite': ('.rknn',),
    'onnx': ('.onnx',),
}


@dataclass(frozen=True)
class RuntimeSettings(ParameterGroup):
    """
    Choice of model and runtime, and their options.

    Raises ValueError for a setting outside its range.
    """

    model: str = parameter(
        '',
        'Path of a model, .rknn or .onnx, or the name of a shipped model, superpoint or '
        'superpoint_small, which exists for each NPU and for CPUs. Empty: superpoint.',
        read_only=True,
    )
    runtime: str = parameter(
        'auto',
        'Runtime that executes the model; auto: chosen by the suffix of the model file.',
        choices=tuple(SUFFIXES),
        read_only=True,
    )
    mean: float = parameter(
        math.nan,
        "Mean of the normalisation (x - mean) / std of the model's input. NaN: from the model "
        'card.',
        name='input.mean',
        read_only=True,
    )
    std: float = parameter(
        math.nan,
        'Standard deviation of that normalisation. NaN: from the model card; if it has none, 255 '
        'or 1: that which suits the scale of a quantized input, or that which gives plausible '
        'keypoints on a built-in image, with a warning.',
        name='input.std',
        read_only=True,
    )
    pass_through: str = parameter(
        'auto',
        'true: pass the bytes of the image through to the NPU, mapped by an input table of 256 '
        'entries if needed. false: the library normalises and quantizes each image, which is '
        'slower. auto: true if the model allows it.',
        name='input.pass_through',
        choices=PASS_THROUGH,
        read_only=True,
    )
    zero_copy: bool = parameter(
        False,
        'Share memory with the NPU instead of copying (librknn on RKNPU2); falls back to copies, '
        'with a warning, if the results differ.',
        name='npu.zero_copy',
        read_only=True,
    )
    core_mask: int = parameter(
        0,
        'NPU cores to use, one bit per core (librknn; RK3588: 1, 2, 4, or 7 for all); 0: the '
        'driver chooses.',
        name='npu.core_mask',
        limits=(0, 0xFFFF),
        read_only=True,
    )


def open_runtime(
    model: str | Path,
    runtime: str = RuntimeSettings.runtime,
    *,
    mean: float = RuntimeSettings.mean,
    std: float = RuntimeSettings.std,
    pass_through: str = RuntimeSettings.pass_through,
    zero_copy: bool = RuntimeSettings.zero_copy,
    core_mask: int = RuntimeSettings.core_mask,
    threads: int | None = None,
) -> Runtime:
    """
    Load a model, .rknn or .onnx, on the runtime that executes it.

    model: path of the file. Further arguments: see RuntimeSettings.
    threads: threads of an inference on the CPU; None: one per physical core.
    Raises ModelError or RuntimeUnavailableError with the reason; ValueError for a setting outside
    its range.
    """
    path = Path(model)
    RuntimeSettings(str(path), runtime, mean, std, pass_through, zero_copy, core_mask)
    if not path.is_file():
        raise ModelMissingError(f'{path}: no such file')
    if path.suffix not in SUFFIXES[runtime]:
        suffixes = ' or '.join(SUFFIXES[runtime])
        raise ModelError(f'{path}: {runtime} expects a model file with the suffix {suffixes}')
    options: dict[str, Any] = {
        'mean': None if math.isnan(mean) else mean,
        'std': None if math.isnan(std) else std,
        'pass_through': pass_through,
    }
    if path.suffix == '.onnx':
        from superpoint_rknn.runtimes.onnx.runtime import OnnxRuntime

        return OnnxRuntime(path, **options, threads=threads)
    if runtime != 'rknnlite':
        from superpoint_rknn.runtimes.rknn.runtime import LibrknnRuntime

        try:
            return LibrknnRuntime(
                path, **options, zero_copy=zero_copy, core_mask=core_mask or None
            )
        except RuntimeUnavailableError as error:
            if runtime == 'librknn' or importlib.util.find_spec('rknnlite') is None:
                raise
            return _open_fallback(path, options, error)
    from superpoint_rknn.runtimes.rknn.rknnlite import RknnliteRuntime

    return RknnliteRuntime(path, **options)


def import_runtime(model: Path) -> None:
    """
    Import onnxruntime if it executes this model file.

    Raises RuntimeNotReadyError if it is missing.
    """
    if model.suffix == '.onnx':
        from superpoint_rknn.runtimes.onnx import runtime  # noqa: F401


def _open_fallback(
    path: Path, options: dict[str, Any], reason: RuntimeUnavailableError
) -> Runtime:
    """Open a model by rknnlite after the C library failed; an error names both reasons."""
    from superpoint_rknn.runtimes.rknn.rknnlite import RknnliteRuntime

    try:
        runtime = RknnliteRuntime(path, **options)
    except (RuntimeUnavailableError, ModelError) as error:
        is_ready = not isinstance(reason, NotReadyError)
        kind = RuntimeUnavailableError if is_ready else RuntimeNotReadyError
        raise kind(f'{reason}; rknnlite failed, too: {error}') from error
    log.warning(
        '%s; using rknnlite instead: slower, without raw outputs, zero copy and core mask', reason
    )
    return runtime
