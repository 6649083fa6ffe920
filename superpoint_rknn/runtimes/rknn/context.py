"""One context of the NPU library: a loaded network, and the calls on it."""

from __future__ import annotations

import ctypes

from superpoint_rknn.runtimes.rknn.abi import Context, InputOutputNum, Query, SdkVersion
from superpoint_rknn.runtimes.rknn.errors import check
from superpoint_rknn.runtimes.rknn.library import RknnLibrary


class RknnContext:
    """
    A network on the NPU; every method raises NpuError where the library reports an error.

    Not thread-safe: the driver can crash the kernel if two threads use one context at a time.
    """

    def __init__(self, library: RknnLibrary, model: bytes):
        self.abi = library.abi
        self._functions = library.functions
        self._handle = Context()
        arguments = [ctypes.byref(self._handle), model, len(model), 0]
        if self.abi.generation == 2:
            arguments.append(None)
        check('rknn_init', self._functions.rknn_init(*arguments))

    def destroy(self) -> None:
        """Release the NPU; the context can't be used after this."""
        check('rknn_destroy', self._functions.rknn_destroy(self._handle))

    def input_attrs(self) -> list[ctypes.Structure]:
        """Attributes of every input."""
        return [self._attr(Query.INPUT_ATTR, i) for i in range(self._counts().n_input)]

    def output_attrs(self) -> list[ctypes.Structure]:
        """Attributes of every output."""
        return [self._attr(Query.OUTPUT_ATTR, i) for i in range(self._counts().n_output)]

    def versions(self) -> tuple[str, str]:
        """Versions of the library and of the driver, without the build's date and hash."""
        sdk = SdkVersion()
        self._query(Query.SDK_VERSION, sdk)
        texts = (sdk.api_version, sdk.drv_version)
        version, driver = (text.decode(errors='replace').partition(' (')[0] for text in texts)
        return version, driver

    def set_core_mask(self, mask: int) -> None:
        """Choose the NPU cores that run the network (generation 2, several cores)."""
        check('rknn_set_core_mask', self._functions.rknn_set_core_mask(self._handle, mask))

    def inputs_set(self, inputs: ctypes.Array) -> None:
        """Hand the inputs over; the library copies them."""
        code = self._functions.rknn_inputs_set(self._handle, len(inputs), inputs)
        check('rknn_inputs_set', code)

    def run(self) -> None:
        """Run the network and wait for its end."""
        check('rknn_run', self._functions.rknn_run(self._handle, None))

    def outputs_get(self, outputs: ctypes.Array) -> None:
        """Fetch outputs; each call, also a failed one, asks for outputs_release."""
        code = self._functions.rknn_outputs_get(self._handle, len(outputs), outputs, None)
        check('rknn_outputs_get', code)

    def outputs_release(self, outputs: ctypes.Array) -> None:
        """Give fetched outputs back to the library."""
        code = self._functions.rknn_outputs_release(self._handle, len(outputs), outputs)
        check('rknn_outputs_release', code)

    def create_mem(self, size: int) -> ctypes.Structure:
        """Allocate memory that the NPU reaches too (generation 2)."""
        mem = self._functions.rknn_create_mem(self._handle, size)
        if not mem:
            raise MemoryError(f'rknn_create_mem: no {size} bytes of NPU memory')
        return mem.contents

    def destroy_mem(self, mem: ctypes.Structure) -> None:
        """Free memory of `create_mem`."""
        check('rknn_destroy_mem', self._functions.rknn_destroy_mem(self._handle, mem))

    def set_io_mem(self, mem: ctypes.Structure, attr: ctypes.Structure) -> None:
        """Let the network read or write the tensor `attr` in `mem` from now on."""
        check('rknn_set_io_mem', self._functions.rknn_set_io_mem(self._handle, mem, attr))

    def _counts(self) -> InputOutputNum:
        counts = InputOutputNum()
        self._query(Query.IN_OUT_NUM, counts)
        return counts

    def _attr(self, query: Query, index: int) -> ctypes.Structure:
        attr = self.abi.tensor_attr(index=index)
        self._query(query, attr)
        return attr

    def _query(self, query: Query, answer: ctypes.Structure) -> None:
        size = ctypes.sizeof(answer)
        code = self._functions.rknn_query(self._handle, query, ctypes.byref(answer), size)
        check(f'rknn_query({query.name})', code)
