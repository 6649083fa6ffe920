"""Direct calls of Rockchip's library on one context: input paths, kinds of outputs, core masks."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from superpoint_rknn.runtimes.rknn.abi import Format, TensorType
from superpoint_rknn.runtimes.rknn.context import RknnContext
from superpoint_rknn.runtimes.rknn.errors import NpuError
from superpoint_rknn.runtimes.rknn.library import find_library
from superpoint_rknn.runtimes.rknn.tensors import RknnTensor, read_tensors

UNTOUCHED = 0xA5  # content of output buffers before the library writes
FLOAT_BYTES = 4


@dataclass(frozen=True)
class Fetched:
    """What the library wrote for one output."""

    tensor: RknnTensor
    asked: int  # [bytes] for the element type that was asked for
    reported: int  # [bytes] that the library says it wrote
    buffer: np.ndarray  # (4 * elements,) uint8, as long as the output would be as float32

    @property
    def bytes(self) -> np.ndarray:
        """The bytes that were asked for."""
        return self.buffer[: self.asked]

    @property
    def wrote_beyond(self) -> bool:
        """True if the library wrote more than was asked for."""
        return self.reported > self.asked or bool((self.buffer[self.asked :] != UNTOUCHED).any())


class NpuCalls:
    """
    A model in a context of its own, with every call exposed that the measurements need.

    Buffers have room for float32 also where raw bytes are asked for, so that a library that
    ignores the request is found and does not overwrite other memory.
    Raises RuntimeError if the library, the NPU or the model can't be used. All calls must come
    from one thread.
    """

    def __init__(self, path: Path):
        library = find_library()
        self.generation = library.abi.generation
        self._context = RknnContext(library, path.read_bytes())
        try:
            self.image, self.logits, self.descriptors = read_tensors(self._context)
            self.version, self.driver = self._context.versions()
        except BaseException:
            self._context.destroy()
            raise
        self._input = (self._context.abi.input * 1)()

    def close(self) -> None:
        """Destroy the context."""
        self._context.destroy()

    def set_core_mask(self, mask: int) -> None:
        """Select the NPU cores, one bit per core."""
        self._context.set_core_mask(mask)

    def set_input(self, values: np.ndarray, pass_through: bool) -> None:
        """Set the model input, (H, W) uint8; pass_through: the library does not convert it."""
        attr, request = self.image.attr, self._input[0]
        request.index = self.image.index
        request.pass_through = pass_through
        request.type = attr.type if pass_through else TensorType.UINT8
        request.fmt = attr.fmt if pass_through else Format.NHWC
        request.size = values.size
        request.buf = values.ctypes.data
        self._context.inputs_set(self._input)

    def run(self) -> None:
        """Run the model on the input."""
        self._context.run()

    def outputs(self, float_logits: bool, float_descriptors: bool | None) -> OutputCall:
        """
        Prepare calls that fetch the outputs as float32 or in their native element types.

        float_descriptors: None: only the logits are fetched, if they are the first output.
        """
        kinds = [(self.logits, float_logits)]
        if float_descriptors is not None:
            kinds.append((self.descriptors, float_descriptors))
        elif self.logits.index != 0:
            raise RuntimeError('the logits are the second output, which is not fetched alone')
        return OutputCall(self._context, sorted(kinds, key=lambda kind: kind[0].index))

    def infer(self, values: np.ndarray, pass_through: bool) -> list[Fetched]:
        """Run the model on an input; return both outputs in their native types, logits first."""
        call = self.outputs(False, False)
        self.cycle(values, pass_through, call)
        return sorted(call.results(), key=lambda fetched: fetched.tensor is not self.logits)

    def cycle(self, values: np.ndarray, pass_through: bool, call: OutputCall) -> tuple[float, ...]:
        """Run the model once; return the durations of inputs_set, run and outputs_get [s]."""
        start = time.perf_counter()
        self.set_input(values, pass_through)
        was_set = time.perf_counter()
        self.run()
        ran = time.perf_counter()
        call.fetch()
        return was_set - start, ran - was_set, time.perf_counter() - ran


class OutputCall:
    """A prepared rknn_outputs_get with buffers of its own."""

    def __init__(self, context: RknnContext, kinds: list[tuple[RknnTensor, bool]]):
        self._context = context
        self._requests = (context.abi.output * len(kinds))()
        self._tensors = [tensor for tensor, _ in kinds]
        self._buffers = [
            np.full(FLOAT_BYTES * tensor.elements, UNTOUCHED, np.uint8) for tensor in self._tensors
        ]
        self._asked: list[int] = []
        self._written: list[int] = []
        for request, buffer, (tensor, is_float) in zip(
            self._requests, self._buffers, kinds, strict=True
        ):
            size = FLOAT_BYTES if is_float else tensor.spec.dtype.itemsize
            request.want_float = is_float
            request.is_prealloc = 1
            request.index = tensor.index
            request.buf = buffer.ctypes.data
            request.size = tensor.elements * size
            self._asked.append(request.size)

    def fetch(self) -> None:
        """Fetch and release the outputs."""
        for request, asked in zip(self._requests, self._asked, strict=True):
            request.size = asked
        try:
            self._context.outputs_get(self._requests)
        except NpuError:
            # Report the error of outputs_get, not that of the release.
            with contextlib.suppress(NpuError):
                self._context.outputs_release(self._requests)
            raise
        self._written = [request.size for request in self._requests]
        self._context.outputs_release(self._requests)

    def results(self) -> list[Fetched]:
        """Return what the last `fetch` wrote, in the order of the outputs."""
        return [
            Fetched(*fields)
            for fields in zip(
                self._tensors, self._asked, self._written, self._buffers, strict=True
            )
        ]
