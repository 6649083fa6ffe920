"""The two ways in which data goes to the NPU and back: copied by the library, or shared."""

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
_FLIPPED = np.arange(256, dtype=np.uint8) ^ SIGN_BIT


@dataclass(frozen=True)
class Network:
    """The three tensors of a SuperPoint, and the type in which descriptors are handed out."""

    image: RknnTensor
    logits: RknnTensor
    descriptors: RknnTensor
    descriptors_dtype: np.dtype


class CopiedPath:
    """
    rknn_inputs_set and rknn_outputs_get, into buffers that are reused.

    pass_through: hand over bytes that need no conversion, through `table` (256,) unless None.
    """

    def __init__(
        self, context: RknnContext, network: Network, pass_through: bool, table: np.ndarray | None
    ):
        self._context = context
        attr = network.image.attr
        self._inputs = (context.abi.input * 1)()
        self._inputs[0].index = network.image.index
        self._inputs[0].pass_through = pass_through
        self._inputs[0].type = attr.type if pass_through else TensorType.UINT8
        # One channel: NCHW and NHWC are the same bytes. Each must be named as the library does.
        self._inputs[0].fmt = attr.fmt if pass_through else Format.NHWC
        self._inputs[0].size = network.image.elements
        self._table = None if table is None else table.view(np.uint8)
        # The table of most signed inputs: an exclusive or takes a tenth of a look-up's time.
        self._flips = table is not None and np.array_equal(self._table, _FLIPPED)
        height, width = network.image.spec.shape[2:]
        self._converted = None if table is None else np.empty((height, width), np.uint8)
        self._logits = OutputReader(network.logits, np.float32)
        self._descriptors = OutputReader(network.descriptors, network.descriptors_dtype)
        # Requests stand in the order of their outputs, so only the first output can be asked for
        # alone.
        self._logits_index = network.logits.index
        self._requests = {count: (context.abi.output * count)() for count in (1, 2)}
        self._unused = np.empty(network.descriptors.spec.shape[1:], network.descriptors_dtype)
        self._float_proven = False

    def set_input(self, image: np.ndarray) -> None:
        """Hand an image (H, W) uint8 to the network."""
        if self._flips:
            image = np.bitwise_xor(image, SIGN_BIT, out=self._converted)
        elif self._table is not None:
            image = cv2.LUT(image, self._table, dst=self._converted)
        self._inputs[0].buf = image.ctypes.data
        self._context.inputs_set(self._inputs)

    def fetch(self, logits: np.ndarray, descriptors: np.ndarray | None) -> None:
        """Take the outputs to the given arrays; None leaves descriptors out."""
        if descriptors is None and self._logits_index == 1:
            descriptors = self._unused
        requests = self._requests[1 if descriptors is None else 2]
        self._logits.ask(requests[self._logits_index], logits)
        if descriptors is not None:
            self._descriptors.ask(requests[1 - self._logits_index], descriptors)
        try:
            self._context.outputs_get(requests)
        except NpuError:
            # The error of outputs_get is the one that explains.
            with contextlib.suppress(NpuError):
                self._context.outputs_release(requests)
            raise
        self._float_proven = True
        sizes = [request.size for request in requests]
        self._context.outputs_release(requests)
        self._check_size(sizes[self._logits_index], self._logits)
        self._logits.finish(logits)
        if descriptors is not None:
            self._check_size(sizes[1 - self._logits_index], self._descriptors)
            self._descriptors.finish(descriptors)

    def take_native(self, error: NpuError) -> bool:
        """
        Do without conversion to float if `error` may be the refusal of it; False if not.

        Only before the first good fetch: a library that has converted once does so always.
        """
        readers = (self._logits, self._descriptors)
        refused = error.call == 'rknn_outputs_get' and error.code in (
            PARAM_INVALID,
            OUTPUT_INVALID,
        )
        if not refused or self._float_proven or not all(reader.has_native for reader in readers):
            return False
        log.warning('%s; outputs are fetched in their own types from now on', error)
        self._float_proven = True
        for reader in readers:
            reader.take_native()
        return True

    def free(self) -> None:
        """Nothing is held that the context doesn't free."""

    def _check_size(self, size: int, reader: OutputReader) -> None:
        if size != reader.size:
            raise RuntimeError(
                f'{reader.name}: the library wrote {size} bytes, expected {reader.size}: '
                'update the library or convert the model anew'
            )


class SharedPath:
    """
    Zero copy, generation 2: input and outputs lie in memory that the NPU reads and writes.

    The NPU normalises and quantises the image by what the model says. The library keeps the
    processor's caches in step around each run, since no initialisation flag told it not to.
    """

    def __init__(self, context: RknnContext, network: Network):
        self._context = context
        self._mems: list[ctypes.Structure] = []
        try:
            self._image = self._share_image(network.image)
            self._logits = self._share_output(network.logits, np.dtype(np.float32))
            self._descriptors = self._share_output(network.descriptors, network.descriptors_dtype)
        except BaseException:
            # The first error is the one that explains.
            with contextlib.suppress(NpuError):
                self.free()
            raise

    def set_input(self, image: np.ndarray) -> None:
        """Write an image (H, W) uint8 where the NPU reads it."""
        np.copyto(self._image, image)

    def fetch(self, logits: np.ndarray, descriptors: np.ndarray | None) -> None:
        """Copy the outputs to the given arrays; None leaves descriptors out."""
        np.copyto(logits, self._logits)
        if descriptors is not None:
            np.copyto(descriptors, self._descriptors)

    def take_native(self, error: NpuError) -> bool:
        """There is no other way to take outputs from shared memory."""
        return False

    def free(self) -> None:
        """
        Free the memory; the context must be destroyed next.

        Raises the first NpuError, after it tried to free all.
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
            raise RuntimeError(f'{tensor.spec.name}: w_stride {stride} is below width {width}')
        memory = self._share(attr, max(attr.size_with_stride, height * stride))
        return memory[: height * stride].reshape(height, stride)[:, :width]

    def _share_output(self, tensor: RknnTensor, dtype: np.dtype) -> np.ndarray:
        channels, height, width = tensor.spec.shape[1:]
        attr = _copy(tensor.attr)
        if dtype == np.float32:
            attr.type = TensorType.FLOAT32
        attr.size = tensor.elements * dtype.itemsize
        # The NPU may write rows or planes longer than those that are read.
        memory = self._share(attr, max(attr.size, attr.size_with_stride))
        values = memory[: attr.size].view(dtype)
        if tensor.nhwc:
            return values.reshape(height, width, channels).transpose(2, 0, 1)
        return values.reshape(channels, height, width)

    def _share(self, attr: ctypes.Structure, size: int) -> np.ndarray:
        mem = self._context.create_mem(size)
        self._mems.append(mem)
        if not mem.virt_addr:
            raise RuntimeError('rknn_create_mem: the memory has no address')
        attr.pass_through = 0
        self._context.set_io_mem(mem, attr)
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(mem.virt_addr))


def _copy(attr: ctypes.Structure) -> ctypes.Structure:
    return type(attr).from_buffer_copy(attr)
