"""Tensors of a .rknn model: their attributes, and conversion of outputs."""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from superpoint_rknn.features.quantization import Quantization
from superpoint_rknn.runtimes.rknn.abi import Abi, Format, Quantized, TensorType
from superpoint_rknn.runtimes.rknn.context import RknnContext
from superpoint_rknn.runtimes.runtime import ModelError, TensorSpec, check_tensors

DTYPES: dict[int, np.dtype] = {
    TensorType.FLOAT32: np.dtype(np.float32),
    TensorType.FLOAT16: np.dtype(np.float16),
    TensorType.INT8: np.dtype(np.int8),
    TensorType.UINT8: np.dtype(np.uint8),
    TensorType.INT16: np.dtype(np.int16),
}
RAW_DTYPES = (np.int8, np.uint8)


@dataclass(frozen=True)
class RknnTensor:
    """A tensor in the library's memory layout; `spec.dtype` is its native element type."""

    index: int
    spec: TensorSpec
    attr: ctypes.Structure
    nhwc: bool

    @property
    def is_raw(self) -> bool:
        """True if its elements are quantized bytes, which are fetched without conversion."""
        return self.spec.quantization is not None

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.spec.shape)


def read_tensor(abi: Abi, attr: ctypes.Structure) -> RknnTensor:
    """Convert the attributes of a tensor. Raises ModelError for unsupported ones."""
    name = attr.name.decode(errors='replace') or f'tensor {attr.index}'
    if attr.n_dims != 4:
        raise ModelError(f'{name}: {attr.n_dims} dimensions, expected 4')
    dims = tuple(int(dim) for dim in attr.dims[:4])
    if abi.reversed_dims:
        dims = dims[::-1]
    if attr.fmt == Format.NHWC:
        dims = (dims[0], dims[3], dims[1], dims[2])
    elif attr.fmt != Format.NCHW:
        raise ModelError(f'{name}: memory format {attr.fmt}, expected NCHW or NHWC')
    if attr.type not in DTYPES:
        raise ModelError(
            f'{name}: element type {attr.type} is not supported; convert the model to 8 bits'
        )
    dtype = DTYPES[attr.type]
    elements = math.prod(dims)
    if attr.n_elems != elements or attr.size != elements * dtype.itemsize:
        raise ModelError(
            f'{name}: {attr.n_elems} elements in {attr.size} bytes, expected {elements} in '
            f'{elements * dtype.itemsize} for shape {dims} of {dtype}'
        )
    spec = TensorSpec(name, dims, dtype, _quantization(name, attr, dtype))
    return RknnTensor(int(attr.index), spec, attr, attr.fmt == Format.NHWC)


def read_tensors(context: RknnContext) -> tuple[RknnTensor, RknnTensor, RknnTensor]:
    """Query model input, logits and descriptors. Raises ModelError if this is no SuperPoint."""
    inputs = [read_tensor(context.abi, attr) for attr in context.input_attrs()]
    outputs = [read_tensor(context.abi, attr) for attr in context.output_attrs()]
    if len(inputs) != 1 or len(outputs) != 2:
        raise ModelError(
            f'{len(inputs)} inputs and {len(outputs)} outputs, expected the input image and the '
            'outputs logits and descriptors'
        )
    # By shape: converters may reorder outputs.
    logits, descriptors = sorted(outputs, key=lambda tensor: tensor.spec.shape[1] != 65)
    check_tensors(inputs[0].spec, logits.spec, descriptors.spec)
    return inputs[0], logits, descriptors


def _quantization(name: str, attr: ctypes.Structure, dtype: np.dtype) -> Quantization | None:
    if attr.qnt_type == Quantized.NONE or dtype not in RAW_DTYPES:
        return None
    try:
        if attr.qnt_type == Quantized.DFP:
            return Quantization(2.0**-attr.fl, 0, dtype)
        # Generation 1 stores a negative zp in an unsigned field.
        zero_point = attr.zp - (1 << 32) if attr.zp >= 1 << 31 else attr.zp
        return Quantization(float(attr.scale), int(zero_point), dtype)
    except ValueError as error:
        raise ModelError(f'{name}: {error}') from error


class OutputReader:
    """
    Fetch one output into the caller's array (C, H, W).

    The library writes into that array if possible. Otherwise (NHWC, or want_float rejected) it
    writes into a buffer, which `finish` converts.

    dtype: of the caller's array: the native type of the tensor, or float32.
    Attribute `size`: number of bytes that the library writes.
    """

    def __init__(self, tensor: RknnTensor, dtype: DTypeLike):
        self._tensor = tensor
        self._dtype = np.dtype(dtype)
        self._want_float = self._dtype == np.float32
        self._set_buffer()

    @property
    def name(self) -> str:
        """Name of the tensor."""
        return self._tensor.spec.name

    @property
    def has_native(self) -> bool:
        """True if `finish` can convert the native element type."""
        return self._tensor.is_raw or self._tensor.spec.dtype.kind == 'f'

    def use_native(self) -> None:
        """Fetch native elements from now on, not converted to float by the library."""
        self._want_float = False
        self._set_buffer()

    def prepare(self, output: ctypes.Structure, target: np.ndarray) -> None:
        """Fill in `output`, the request to rknn_outputs_get; target: the caller's array."""
        buffer = target if self._buffer is None else self._buffer
        output.want_float = self._want_float
        output.is_prealloc = 1
        output.index = self._tensor.index
        output.buf = buffer.ctypes.data
        output.size = self.size

    def finish(self, target: np.ndarray) -> None:
        """Convert the buffer, if there is one, into `target` (C, H, W)."""
        if self._buffer is None:
            return
        source = self._buffer.transpose(2, 0, 1) if self._tensor.nhwc else self._buffer
        quantization = self._tensor.spec.quantization
        if source.dtype == target.dtype or quantization is None:
            np.copyto(target, source)
        else:
            quantization.dequantize(source, out=target)

    def _set_buffer(self) -> None:
        element = np.dtype(np.float32) if self._want_float else self._tensor.spec.dtype
        self.size = self._tensor.elements * element.itemsize
        self._buffer: np.ndarray | None = None
        if self._tensor.nhwc or element != self._dtype:
            channels, height, width = self._tensor.spec.shape[1:]
            hwc = (height, width, channels)
            shape = hwc if self._tensor.nhwc else (channels, height, width)
            self._buffer = np.empty(shape, element)
