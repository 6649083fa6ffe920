"""Runtime: protocol of what executes a model, its errors and common checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from superpoint_rknn.errors import NotReadyError
from superpoint_rknn.features import CELL
from superpoint_rknn.features.quantization import Quantization

PASS_THROUGH = ('auto', 'true', 'false')


class RuntimeUnavailableError(RuntimeError):
    """The runtime (library, driver, NPU) can't be used; the message says what to do."""


class ModelError(RuntimeError):
    """The model file can't be used: missing, damaged, for another chip, not a SuperPoint model."""


class RuntimeNotReadyError(RuntimeUnavailableError, NotReadyError):
    """The library, the driver or the NPU is missing or busy; it may become usable."""


class ModelMissingError(ModelError, NotReadyError):
    """The model file can't be read."""


@dataclass(frozen=True)
class TensorSpec:
    """Specification of an input or output of the model."""

    name: str
    shape: tuple[int, ...]  # NCHW
    dtype: np.dtype
    quantization: Quantization | None = None  # None: real numbers


class Runtime(Protocol):
    """
    A loaded SuperPoint model that is ready for inference.

    Not thread-safe: NPU drivers allow calls from one thread only.
    """

    name: str  # of the runtime, such as 'onnxruntime 1.23.2', 'librknnrt 2.3.2 (driver 0.9.8)'
    model: str  # id of the model, such as 'superpoint_400x640_u8@3f2a9c1d'
    input: TensorSpec  # (1, 1, H, W)
    logits: TensorSpec  # (1, 65, H/8, W/8)
    descriptors: TensorSpec  # (1, 256, H/8, W/8); float32 if the runtime has no raw outputs
    input_table: np.ndarray | None  # (256,) see resolve_input_table; None: the identity
    stages_ms: dict[str, float]  # duration of each stage of the last inference [ms]

    def infer(self, image: np.ndarray, descriptors: np.ndarray | None) -> np.ndarray:
        """
        Run the model on one image.

        image: (H, W) uint8 grey, C-contiguous.
        descriptors: (256, H/8, W/8) of `self.descriptors.dtype`, C-contiguous, receives the raw
        descriptor map; None: the map is not fetched.
        Returns the detector's logits, (65, H/8, W/8) float32, valid until the next call.
        Raises RuntimeError if the inference failed; the runtime remains usable.
        """
        ...

    def close(self) -> None:
        """Release the model and the NPU. Later calls raise RuntimeError."""
        ...


def check_tensors(image: TensorSpec, logits: TensorSpec, descriptors: TensorSpec) -> None:
    """Raise ModelError with the reason unless these are the tensors of a SuperPoint model."""
    for spec in (image, logits, descriptors):
        if len(spec.shape) != 4 or spec.shape[0] != 1 or min(spec.shape) < 1:
            raise ModelError(f'{spec.name}: shape {spec.shape}, expected 1xCxHxW')
    _, channels, height, width = image.shape
    if channels != 1:
        raise ModelError(f'{image.name}: {channels} channels, expected 1, a grey image')
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
    """Raise ValueError unless an array is C-contiguous and has this shape and dtype."""
    if array.shape != shape or array.dtype != dtype or not array.flags.c_contiguous:
        raise ValueError(
            f'{name}: {array.shape} {array.dtype}, expected contiguous {shape} {dtype}'
        )
    if writable and not array.flags.writeable:
        raise ValueError(f'{name}: a read-only array, expected a writable one')


def check_pass_through(value: str) -> None:
    """Raise ValueError unless `value` is a valid value of pass_through."""
    if value not in PASS_THROUGH:
        raise ValueError(f'pass_through: {value!r}, expected one of {", ".join(PASS_THROUGH)}')
