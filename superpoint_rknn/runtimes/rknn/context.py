"""An rknn_context: a loaded model, and the library calls on it."""

from __future__ import annotations

import ctypes

from superpoint_rknn.runtimes.rknn.abi import Context, InputOutputNum, Query, SdkVersion
from superpoint_rknn.runtimes.rknn.errors import check
from superpoint_rknn.runtimes.rknn.library import RknnLibrary


class RknnContext:
    """
    A model loaded on the NPU. Every method raises NpuError if the library returns an error code.

    Not thread-safe: two concurrent calls on one context can crash the kernel.
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
        """Destroy the context; it can't be used afterwards."""
        check('rknn_destroy', self._functions.rknn_destroy(self._handle))

    def input_attrs(self) -> list[ctypes.Structure]:
        """Query the attributes of every input."""
        return [self._attr(Query.INPUT_ATTR, i) for i in range(self._counts().n_input)]

    def output_attrs(self) -> list[ctypes.Structure]:
        """Query the attributes of every output."""
        return [self._attr(Query.OUTPUT_ATTR, i) for i in range(self._counts().n_output)]

    def versions(self) -> tuple[str, str]:
        """Query the versions of library and driver, without build date and hash."""
        sdk = SdkVersion()
        self._query(Query.SDK_VERSION, sdk)
        texts = (sdk.api_version, sdk.drv_version)
        version, driver = (text.decode(errors='replace').partition(' (')[0] for text in texts)
        return version, driver

    def set_core_mask(self, mask: int) -> None:
        """Select the NPU cores that run the model (generation 2, chips with several cores)."""
        check('rknn_set_core_mask', self._functions.rknn_set_core_mask(self._handle, mask))

    def inputs_set(self, inputs: ctypes.Array) -> None:
        """Set the inputs; the library copies them."""
        code = self._functions.rknn_inputs_set(self._handle, len(inputs), inputs)
        check('rknn_inputs_set', code)

    def run(self) -> None:
        """Run the model; blocking."""
        check('rknn_run', self._functions.rknn_run(self._handle, None))

    def outputs_get(self, outputs: ctypes.Array) -> None:
        """Fetch outputs; each call, even if it fails, must be followed by outputs_release."""
        code = self._functions.rknn_outputs_get(self._handle, len(outputs), outputs, None)
        check('rknn_outputs_get', code)

    def outputs_release(self, outputs: ctypes.Array) -> None:
        """Release fetched outputs."""
        code = self._functions.rknn_outputs_release(self._handle, len(outputs), outputs)
        check('rknn_outputs_release', code)

    def create_mem(self, size: int) -> ctypes.Structure:
        """Allocate memory shared with the NPU (generation 2)."""
        mem = self._functions.rknn_create_mem(self._handle, size)
        if not mem:
            raise MemoryError(f'rknn_create_mem: can not allocate {size} bytes of NPU memory')
        return mem.contents

    def destroy_mem(self, mem: ctypes.Structure) -> None:
        """Free memory of `create_mem`."""
        check('rknn_destroy_mem', self._functions.rknn_destroy_mem(self._handle, mem))

    def set_io_mem(self, mem: ctypes.Structure, attr: ctypes.Structure) -> None:
        """Place the tensor described by `attr` in `mem`."""
        check('rknn_set_io_mem', self._functions.rknn_set_io_mem(self._handle, mem, attr))

    def _counts(self) -> InputOutputNum:
        counts = InputOutputNum()
        self._query(Query.IN_OUT_NUM, counts)
        return counts

    def _attr(self, query: Query, index: int) -> ctypes.Structure:
        attr = self.abi.tensor_attr(index=index)
        self._query(query, attr)
        return attr

    def _query(self, query: Query, result: ctypes.Structure) -> None:
        size = ctypes.sizeof(result)
        code = self._functions.rknn_query(self._handle, query, ctypes.byref(result), size)
        check(f'rknn_query({query.name})', code)
