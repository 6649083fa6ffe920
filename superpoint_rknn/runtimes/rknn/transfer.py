"""Transfer of inputs and outputs between CPU and NPU: by copies, or by zero copy."""

from __future__ import annotations

import contextlib
import ctypes
import logging
from dataclasses import dataclass

import cv2
import numpy as np

from superpoint_rknn.runtimes.rknn.abi import Format, TensorType
from superpoint_rknn.runtimes.rknn.context import RknnContext
from superpoint_rknn.runtimes.rknn.errors import OUTPUT_INVALID, PARAM_INVALID, NpuError
from superpoint_rknn.runtimes.rknn.tensors import OutputReader, RknnTensor

log = logging.getLogger(__name__)

SIGN_BIT = np.uint8(0x80)
_SIGN_FLIPPED = np.arange(256, dtype=np.uint8) ^ SIGN_BIT


@dataclass(frozen=True)
class ModelTensors:
    """The three tensors of a SuperPoint model, and the dtype of returned descriptors."""

    image: RknnTensor
    logits: RknnTensor
    descriptors: RknnTensor
    descriptors_dtype: np.dtype


class CopyTransfer:
    """
    Transfer by copies (rknn_inputs_set, rknn_outputs_get), with reused buffers.

    pass_through: the library does not convert the input bytes.
    table: (256,) input table that maps the image first; None: the identity.
    """

    def __init__(
        self,
        context: RknnContext,
        tensors: ModelTensors,
        pass_through: bool,
        table: np.ndarray | None,
    ):
        self._context = context
        attr = tensors.image.attr
        self._inputs = (context.abi.input * 1)()
        self._inputs[0].index = tensors.image.index
        self._inputs[0].pass_through = pass_through
        self._inputs[0].type = attr.type if pass_through else TensorType.UINT8
        # With one channel NCHW and NHWC are the same bytes, but the library checks the format.
        self._inputs[0].fmt = attr.fmt if pass_through else Format.NHWC
        self._inputs[0].size = tensors.image.elements
        self._table = None if table is None else table.view(np.uint8)
        # The input table of most int8 inputs: XOR takes a tenth of the time of a table look-up.
        self._flips_sign = self._table is not None and np.array_equal(self._table, _SIGN_FLIPPED)
        height, width = tensors.image.spec.shape[2:]
        self._converted = np.empty((height, width) if table is not None else 0, np.uint8)
        self._logits = OutputReader(tensors.logits, np.float32)
        self._descriptors = OutputReader(tensors.descriptors, tensors.descriptors_dtype)
        # The library expects requests in the order of the outputs: only the first output can be
        # fetched alone.
        self._logits_index = tensors.logits.index
        self._requests = {count: (context.abi.output * count)() for count in (1, 2)}
        self._unused = np.empty(tensors.descriptors.spec.shape[1:], tensors.descriptors_dtype)
        self._types_settled = False

    def set_input(self, image: np.ndarray) -> None:
        """Set the model input to an image, (H, W) uint8."""
        if self._flips_sign:
            image = np.bitwise_xor(image, SIGN_BIT, out=self._converted)
        elif self._table is not None:
            image = cv2.LUT(image, self._table, dst=self._converted)
        self._inputs[0].buf = image.ctypes.data
        self._context.inputs_set(self._inputs)

    def fetch(self, logits: np.ndarray, descriptors: np.ndarray | None) -> None:
        """Fetch the outputs into the given arrays (C, H, W); descriptors None: only logits."""
        if descriptors is None and self._logits_index == 1:
            descriptors = self._unused
        requests = self._requests[1 if descriptors is None else 2]
        self._logits.prepare(requests[self._logits_index], logits)
        if descriptors is not None:
            self._descriptors.prepare(requests[1 - self._logits_index], descriptors)
        try:
            self._context.outputs_get(requests)
        except NpuError:
            # Report the error of outputs_get, not that of the release.
            with contextlib.suppress(NpuError):
                self._context.outputs_release(requests)
            raise
        self._types_settled = True
        sizes = [request.size for request in requests]
        self._context.outputs_release(requests)
        self._check_size(sizes[self._logits_index], self._logits)
        self._logits.finish(logits)
        if descriptors is not None:
            self._check_size(sizes[1 - self._logits_index], self._descriptors)
            self._descriptors.finish(descriptors)

    def fall_back_to_native(self, error: NpuError) -> bool:
        """
        Fall back to native output types if the library rejected want_float; False if not.

        Only before the first successful fetch, which shows that the library supports want_float.
        """
        readers = (self._logits, self._descriptors)
        rejected = error.call == 'rknn_outputs_get' and error.code in (
            PARAM_INVALID,
            OUTPUT_INVALID,
        )
        if not rejected or self._types_settled or not all(reader.has_native for reader in readers):
            return False
        log.warning('%s; outputs are fetched in their native types from now on', error)
        self._types_settled = True
        for reader in readers:
            reader.use_native()
        return True

    def free(self) -> None:
        """Do nothing: the context frees all its memory."""

    def _check_size(self, size: int, reader: OutputReader) -> None:
        if size != reader.size:
            raise RuntimeError(
                f'{reader.name}: the library wrote {size} bytes, expected {reader.size}: '
                'update the library or convert the model again'
            )


class ZeroCopyTransfer:
    """
    Transfer by zero copy (generation 2): input and outputs are in memory shared with the NPU.

    The NPU normalises and quantizes the image as the model was converted. The library flushes the
    CPU caches around each run, which is the default of rknn_init.
    """

    def __init__(self, context: RknnContext, tensors: ModelTensors):
        self._context = context
        self._mems: list[ctypes.Structure] = []
        try:
            self._image = self._share_image(tensors.image)
            self._logits = self._share_output(tensors.logits, np.dtype(np.float32))
            self._descriptors = self._share_output(tensors.descriptors, tensors.descriptors_dtype)
        except BaseException:
            # Report the first error, not that of `free`.
            with contextlib.suppress(NpuError):
                self.free()
            raise

    def set_input(self, image: np.ndarray) -> None:
        """Copy an image (H, W) uint8 to the shared memory."""
        np.copyto(self._image, image)

    def fetch(self, logits: np.ndarray, descriptors: np.ndarray | None) -> None:
        """Copy the outputs into the given arrays (C, H, W); descriptors None: only logits."""
        np.copyto(logits, self._logits)
        if descriptors is not None:
            np.copyto(descriptors, self._descriptors)

    def fall_back_to_native(self, error: NpuError) -> bool:
        """Return False: zero copy does not use want_float."""
        return False

    def free(self) -> None:
        """
        Free the memory; the context must be destroyed next.

        Raises the first NpuError after trying to free everything.
        """
        mems, self._mems = self._mems, []
        first = None
        for mem in mems:
            try:
                self._context.destroy_mem(mem)
            except NpuError as error:
                first = first or error
        if first is not None:
            raise first

    def _share_image(self, tensor: RknnTensor) -> np.ndarray:
        height, width = tensor.spec.shape[2:]
        attr = _copy(tensor.attr)
        attr.type, attr.fmt = TensorType.UINT8, Format.NHWC
        stride = attr.w_stride or width
        if stride < width:
            raise RuntimeError(f'{tensor.spec.name}: w_stride {stride}, expected at least {width}')
        memory = self._share(attr, max(attr.size_with_stride, height * stride))
        return memory[: height * stride].reshape(height, stride)[:, :width]

    def _share_output(self, tensor: RknnTensor, dtype: np.dtype) -> np.ndarray:
        channels, height, width = tensor.spec.shape[1:]
        attr = _copy(tensor.attr)
        if dtype == np.float32:
            attr.type = TensorType.FLOAT32
        attr.size = tensor.elements * dtype.itemsize
        # The NPU may write padded rows or planes.
        memory = self._share(attr, max(attr.size, attr.size_with_stride))
        values = memory[: attr.size].view(dtype)
        if tensor.nhwc:
            return values.reshape(height, width, channels).transpose(2, 0, 1)
        return values.reshape(channels, height, width)

    def _share(self, attr: ctypes.Structure, size: int) -> np.ndarray:
        mem = self._context.create_mem(size)
        self._mems.append(mem)
        if not mem.virt_addr:
            raise RuntimeError('rknn_create_mem: returned memory without an address')
        attr.pass_through = 0
        self._context.set_io_mem(mem, attr)
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(mem.virt_addr))


def _copy(attr: ctypes.Structure) -> ctypes.Structure:
    return type(attr).from_buffer_copy(attr)
