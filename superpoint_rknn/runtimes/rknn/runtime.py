"""SuperPoint on a Rockchip NPU through its C library: raw bytes in, raw bytes out."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from superpoint_rknn.runtimes.model_files import model_id, resolve_input_table
from superpoint_rknn.runtimes.rknn.context import RknnContext
from superpoint_rknn.runtimes.rknn.errors import MODEL_ERRORS, NpuError
from superpoint_rknn.runtimes.rknn.library import RknnLibrary, find_library
from superpoint_rknn.runtimes.rknn.tensors import read_network
from superpoint_rknn.runtimes.rknn.thread_ownership import Ownership
from superpoint_rknn.runtimes.rknn.transfer import CopiedPath, Network, SharedPath
from superpoint_rknn.runtimes.runtime import (
    ModelError,
    RuntimeUnavailableError,
    TensorSpec,
    check_array,
    check_pass_through,
)

log = logging.getLogger(__name__)


class LibrknnRuntime:
    """
    A SuperPoint network on the NPU; see Runtime.

    The first thread that infers owns the NPU: while it lives, no other may infer. Any thread may
    `close`, also during a call that hangs: see Ownership.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        mean: float | None = None,
        std: float | None = None,
        pass_through: str = 'auto',
        library: str | Path | RknnLibrary | None = None,
        zero_copy: bool = False,
        core_mask: int | None = None,
    ):
        """
        Load a .rknn file, which takes a minute on an RV1126 if it isn't pre-compiled.

        mean, std: of the network's input, see resolve_input_table.
        pass_through: 'true' hands the library bytes that need no conversion, 'false' leaves
        normalising and quantising to it (slow), 'auto' does the first wherever it is possible.
        library: file or name of the library; None searches the usual places.
        zero_copy: share memory with the NPU instead of copying (generation 2 only); given up,
        with a warning, where the results differ.
        core_mask: NPU cores to use (rknn_abi.CoreMask), on parts that have several.
        Raises RuntimeUnavailableError if the library or the NPU can't be used, ModelError if the
        file can't.
        """
        check_pass_through(pass_through)
        self._path = Path(path)
        self._library = library if isinstance(library, RknnLibrary) else find_library(library)
        if core_mask is not None and self._library.abi.generation == 1:
            raise RuntimeUnavailableError(
                f'core_mask {core_mask}: this NPU has one core; leave it unset'
            )
        self._core_mask = core_mask
        self.stages_ms: dict[str, float] = {}
        self.zero_copy = False  # whether memory is shared with the NPU
        content = self._read_file()
        self.model = model_id(self._path, content)
        self._ownership = Ownership(self.model, self._destroy)
        self._context: RknnContext | None = self._open(content)
        self._data: CopiedPath | SharedPath | None = None
        try:
            self._understand(mean, std, pass_through)
            if zero_copy:
                self._share_memory(content)
        except BaseException as error:
            self._destroy()
            if type(error) in (RuntimeError, NpuError):
                raise RuntimeUnavailableError(f'{path}: {error}') from error
            raise

    def infer(self, image: np.ndarray, descriptors: np.ndarray | None) -> np.ndarray:
        """
        Run the network on one image; see Runtime.

        Raises NpuError (a RuntimeError) where the library reports an error, RuntimeError if the
        runtime is closed or another thread owns the NPU, ValueError if an array doesn't fit.
        """
        check_array('image', image, self.input.shape[2:], np.dtype(np.uint8))
        if descriptors is not None:
            check_array(
                'descriptors',
                descriptors,
                self.descriptors.shape[1:],
                self.descriptors.dtype,
                writable=True,
            )
        with self._ownership.admitted():
            self._run(image, descriptors)
            return self._logits

    def close(self) -> None:
        """Release the NPU, now or when the call that is under way returns."""
        self._ownership.close()

    def _read_file(self) -> bytes:
        try:
            content = self._path.read_bytes()
        except OSError as error:
            raise ModelError(f'{self._path}: {error.strerror}') from error
        if not content:
            raise ModelError(f'{self._path}: the file is empty')
        return content

    def _open(self, content: bytes) -> RknnContext:
        try:
            context = RknnContext(self._library, content)
        except NpuError as error:
            kind = ModelError if error.code in MODEL_ERRORS else RuntimeUnavailableError
            raise kind(f'{self._path}: {error}') from error
        if self._core_mask is not None:
            try:
                context.set_core_mask(self._core_mask)
            except NpuError as error:
                context.destroy()
                raise RuntimeUnavailableError(
                    f'core_mask {self._core_mask}: {error} (not every chip has several cores)'
                ) from error
        return context

    def _understand(self, mean: float | None, std: float | None, pass_through: str) -> None:
        context = self._context
        version, driver = context.versions()
        self.name = f'{Path(self._library.path).stem} {version} (driver {driver})'
        try:
            image, logits, descriptors = read_network(context)
        except ModelError as error:
            raise ModelError(f'{self._path}: {error}') from error
        self.input, self.logits = image.spec, logits.spec
        self.descriptors = descriptors.spec
        if not descriptors.is_raw:
            self.descriptors = TensorSpec(
                descriptors.spec.name, descriptors.spec.shape, np.dtype(np.float32)
            )
        self._logits = np.empty(logits.spec.shape[1:], np.float32)
        self._network = Network(image, logits, descriptors, self.descriptors.dtype)
        self.pass_through = pass_through != 'false' and image.is_raw
        if pass_through == 'true' and not image.is_raw:
            raise ModelError(
                f'{self._path}: {self.input.name} is {self.input.dtype} without 8-bit '
                'quantisation: bytes can not pass through; set input.pass_through to auto'
            )
        self.input_table = None
        if self.pass_through:
            self.input_table = resolve_input_table(self._path, self.input.quantization, mean, std)
        self._data = self._copied_path()

    def _copied_path(self) -> CopiedPath:
        return CopiedPath(self._context, self._network, self.pass_through, self.input_table)

    def _share_memory(self, content: bytes) -> None:
        """Go over to zero copy if it gives the results of the copied path."""
        if self._library.abi.tensor_mem is None:
            log.warning('zero copy is not supported on generation 1: data is copied')
            return
        height, width = self.input.shape[2:]
        image = np.random.default_rng(0).integers(0, 256, (height, width), np.uint8)
        expected = self._results(image)
        try:
            # From here on the library refuses the copied path on this context.
            self._data = SharedPath(self._context, self._network)
            results = self._results(image)
            if all(np.array_equal(*pair) for pair in zip(expected, results, strict=True)):
                self.zero_copy = True
                return
            reason = 'its results differ from those of copied data'
        except (RuntimeError, MemoryError) as error:
            reason = str(error)
        log.warning('zero copy is given up, data is copied: %s', reason)
        self._destroy()
        self._context = self._open(content)
        self._data = self._copied_path()

    def _results(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        descriptors = np.empty(self.descriptors.shape[1:], self.descriptors.dtype)
        self._run(image, descriptors)
        return self._logits.copy(), descriptors

    def _run(self, image: np.ndarray, descriptors: np.ndarray | None) -> None:
        try:
            self._run_once(image, descriptors)
        except NpuError as error:
            if not self._data.take_native(error):
                raise
            self._run_once(image, descriptors)

    def _run_once(self, image: np.ndarray, descriptors: np.ndarray | None) -> None:
        start = time.perf_counter()
        self._data.set_input(image)
        was_set = time.perf_counter()
        self._context.run()
        ran = time.perf_counter()
        self._data.fetch(self._logits, descriptors)
        self.stages_ms = {
            'inputs_set': 1e3 * (was_set - start),
            'run': 1e3 * (ran - was_set),
            'outputs_get': 1e3 * (time.perf_counter() - ran),
        }

    def _destroy(self) -> None:
        context, data = self._context, self._data
        self._context = self._data = None
        with contextlib.ExitStack() as last_first:  # whatever fails, the rest is released
            if context is not None:
                last_first.callback(self._release, context.destroy)
            if data is not None:
                last_first.callback(self._release, data.free)

    def _release(self, release: Callable[[], None]) -> None:
        try:
            release()
        except NpuError as error:  # it is gone, for good or bad; opening anew shows which
            log.warning('%s: not released cleanly: %s', self.model, error)
