"""What every engine that runs the network has in common."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from superpoint_rknn.features.quantization import (
    Quantization,
    default_std,
    input_table,
    is_identity,
)

log = logging.getLogger(__name__)

SAME_NPU = {'rk3566': 'rk3568'}  # chips that run what is converted for another
CELL = 8  # [px] side of the square that one element of the outputs describes


class EngineError(RuntimeError):
    """The engine (library, driver, NPU) can't be used here; the message says what to do."""


class ModelError(RuntimeError):
    """The model file can't be used: missing, damaged, for another chip, or not a SuperPoint."""


@dataclass(frozen=True)
class TensorSpec:
    """A tensor of the network; `quantization` is None where it holds real numbers."""

    name: str
    shape: tuple[int, ...]  # NCHW
    dtype: np.dtype
    quantization: Quantization | None = None


class Runtime(Protocol):
    """
    One SuperPoint network, loaded on one engine.

    Not thread-safe: one thread at a time may call it (the NPU's drivers demand one owner).
    """

    name: str  # of the engine, for people: 'onnxruntime 1.23.2', 'librknnrt 2.3.2 (RK3588)'
    model: str  # name and content hash of the network, 'superpoint_400x640_u8@3f2a9c1d'
    input: TensorSpec  # (1, 1, H, W)
    logits: TensorSpec  # (1, 65, H/8, W/8)
    descriptors: TensorSpec  # (1, 256, H/8, W/8); float32 where the engine gives no integers
    input_table: np.ndarray | None  # (256,) bytes that the input goes through; None: the identity
    stages_ms: dict[str, float]  # duration of each stage of the last inference [ms]

    def infer(self, image: np.ndarray, descriptors: np.ndarray | None) -> np.ndarray:
        """
        Run the network on one image.

        image: (H, W) uint8 grey, C-contiguous.
        descriptors: (256, H/8, W/8) of `self.descriptors.dtype`, C-contiguous, receives the raw
        descriptor map; None leaves that output unfetched.
        Returns the detector's logits, (65, H/8, W/8) float32, valid until the next call.
        Raises RuntimeError if the engine failed on this image; the runtime may be used again.
        """
        ...

    def close(self) -> None:
        """Release the engine. Calls after this raise RuntimeError."""
        ...


def model_id(path: Path, content: bytes) -> str:
    """Name of a network: its file's stem and the first 8 digits of its content's SHA-256."""
    return f'{Path(path).stem}@{hashlib.sha256(content).hexdigest()[:8]}'


def read_card(path: Path) -> dict:
    """Model card (JSON) that stands beside a model under the same stem; empty if there is none."""
    card = Path(path).with_suffix('.json')
    if not card.is_file():
        return {}
    try:
        content = json.loads(card.read_text(encoding='utf-8'))
    except (OSError, RecursionError, ValueError) as error:
        raise ModelError(f'{card}: not a model card: {error}') from error
    if not isinstance(content, dict) or not isinstance(content.get('input', {}), dict):
        raise ModelError(
            f'{card}: not a model card: a JSON object with an object "input" expected'
        )
    return content


def resolve_normalisation(
    path: Path, quantization: Quantization, mean: float | None, std: float | None
) -> tuple[float, float]:
    """
    Mean and std of the network's real input, (x - mean) / std.

    None takes a number from the model card, else mean 0 and the std that makes the input scale
    the identity.
    Raises ModelError if neither tells, or the card holds no numbers.
    """
    stated = read_card(path).get('input', {})
    mean = stated.get('mean', 0.0) if mean is None else mean
    std = stated.get('std') if std is None else std
    for name, value in (('mean', mean), ('std', std)):
        if isinstance(value, bool) or not isinstance(value, (int, float, type(None))):
            raise ModelError(f'{path}: input: {name} {value!r} is not a number')
    try:
        return float(mean), default_std(quantization) if std is None else float(std)
    except (OverflowError, TypeError, ValueError) as error:
        raise ModelError(f'{path}: input: mean {mean!r:.40}, std {std!r:.40}: {error}') from error


def resolve_input_table(
    path: Path, quantization: Quantization, mean: float | None, std: float | None
) -> np.ndarray | None:
    """
    Table that an image's bytes go through before they are the network's input.

    mean, std: see `resolve_normalisation`.
    Returns (256,) of the input's dtype, or None where the bytes are the input already.
    Raises ModelError if no faithful table exists, with the reason.
    """
    mean, std = resolve_normalisation(path, quantization, mean, std)
    try:
        table = input_table(quantization, mean, std)
    except ValueError as error:
        raise ModelError(f'{path}: input: {error}') from error
    return None if is_identity(table) else table


def check_tensors(image: TensorSpec, logits: TensorSpec, descriptors: TensorSpec) -> None:
    """Raise ModelError with the reason if these tensors are not those of a SuperPoint network."""
    for spec in (image, logits, descriptors):
        if len(spec.shape) != 4 or spec.shape[0] != 1 or min(spec.shape) < 1:
            raise ModelError(f'{spec.name}: shape {spec.shape}, expected 1xCxHxW')
    _, channels, height, width = image.shape
    if channels != 1:
        raise ModelError(f'{image.name}: {channels} channels, expected one grey image')
    if height % CELL or width % CELL:
        raise ModelError(f'{image.name}: {height}x{width} is not divisible by {CELL}')
    cells = (height // CELL, width // CELL)
    if logits.shape[1:] != (CELL * CELL + 1, *cells):
        raise ModelError(
            f'{logits.name}: shape {logits.shape}, expected 1x65x{cells[0]}x{cells[1]} '
            f'for an image of {height}x{width}'
        )
    if descriptors.shape[2:] != cells:
        raise ModelError(
            f'{descriptors.name}: shape {descriptors.shape}, expected 1xCx{cells[0]}x{cells[1]} '
            f'for an image of {height}x{width}'
        )


def check_array(
    name: str,
    array: np.ndarray,
    shape: tuple[int, ...],
    dtype: np.dtype,
    *,
    writable: bool = False,
) -> None:
    """Raise ValueError unless an array is C-contiguous, of this shape and dtype, and writable."""
    if array.shape != shape or array.dtype != dtype or not array.flags.c_contiguous:
        raise ValueError(
            f'{name}: {array.shape} {array.dtype}, expected contiguous {shape} {dtype}'
        )
    if writable and not array.flags.writeable:
        raise ValueError(f'{name}: a read-only array can not receive an output')


def shipped_models() -> Path:
    """Folder of the networks that the package ships. Raises ModelError if it isn't there."""
    prefixes = [*os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep), sys.prefix]
    installed = [Path(p, 'share', 'superpoint_rknn', 'models') for p in prefixes if p]
    # Not resolved: the files of a symlinked installation belong to it.
    checkout = Path(__file__).absolute().parents[2] / 'models'
    for folder in (checkout, *installed):
        if folder.is_dir():
            return folder
    raise ModelError(
        'the models that superpoint_rknn ships were not found: name one by the parameter `model`, '
        'or source the workspace that the package is installed in'
    )


def default_model(soc: str | None) -> Path:
    """Shipped network for a chip ('rk3588', ...), else the one for CPUs."""
    on_npu = shipped_models() / f'superpoint_400x640_{SAME_NPU.get(soc, soc)}.rknn'
    return on_npu if soc and on_npu.is_file() else shipped_models() / 'superpoint_400x640_u8.onnx'


def open_runtime(
    model: str | Path,
    runtime: str = 'auto',
    *,
    mean: float | None = None,
    std: float | None = None,
    pass_through: str = 'auto',
    zero_copy: bool = False,
    core_mask: int = 0,
) -> Runtime:
    """
    Load a network, .rknn or .onnx, on the engine for it.

    runtime: 'auto', 'librknn', 'rknnlite' or 'onnx'.
    mean, std: normalisation of the network's input; None: see `resolve_input_table`.
    pass_through: 'auto', 'true' or 'false'.
    zero_copy, core_mask: of librknn: share memory with the NPU, and which cores to use (0: the
    driver chooses).
    Raises ModelError or EngineError with the reason; ValueError for an unknown engine.
    """
    path = Path(model)
    if not path.is_file():
        raise ModelError(f'{path}: no such file')
    suffix = {'librknn': '.rknn', 'rknnlite': '.rknn', 'onnx': '.onnx'}.get(runtime, path.suffix)
    if runtime not in ('auto', 'librknn', 'rknnlite', 'onnx'):
        raise ValueError(f'runtime: {runtime!r}, expected auto, librknn, rknnlite or onnx')
    if path.suffix not in ('.rknn', '.onnx') or path.suffix != suffix:
        raise ModelError(f'{path}: {runtime} expects a model file with the suffix .rknn or .onnx')
    options = {'mean': mean, 'std': std, 'pass_through': pass_through}
    if path.suffix == '.onnx':
        from superpoint_rknn.runtimes.onnx import OnnxRuntime

        return OnnxRuntime(path, **options)
    if runtime != 'rknnlite':
        from superpoint_rknn.runtimes.librknn import LibrknnRuntime

        try:
            return LibrknnRuntime(
                path, **options, zero_copy=zero_copy, core_mask=core_mask or None
            )
        except EngineError as error:
            if runtime == 'librknn' or importlib.util.find_spec('rknnlite') is None:
                raise
            return _open_fallback(path, options, error)
    from superpoint_rknn.runtimes.rknnlite import RknnliteRuntime

    return RknnliteRuntime(path, **options)


def _open_fallback(path: Path, options: dict, reason: EngineError) -> Runtime:
    """Open a model by rknnlite, since the C library can't for a reason; tell both."""
    from superpoint_rknn.runtimes.rknnlite import RknnliteRuntime

    try:
        runtime = RknnliteRuntime(path, **options)
    except (EngineError, ModelError) as error:
        raise EngineError(f'{reason}; nor does rknnlite serve: {error}') from error
    log.warning(
        '%s; rknnlite is used instead: slower, without raw outputs, zero copy or core mask', reason
    )
    return runtime
