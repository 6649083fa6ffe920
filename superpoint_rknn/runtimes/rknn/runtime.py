"""Run models on a Rockchip NPU with its C library, with pass-through input and raw outputs."""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from superpoint_rknn.runtimes.model_files import model_id, read_model, resolve_input_table
from superpoint_rknn.runtimes.outputs import to_logits
from superpoint_rknn.runtimes.rknn.context import RknnContext
from superpoint_rknn.runtimes.rknn.errors import MODEL_ERRORS, NOT_READY_ERRORS, NpuError
from superpoint_rknn.runtimes.rknn.library import RknnLibrary, find_library
from superpoint_rknn.runtimes.rknn.tensors import read_tensors
from superpoint_rknn.runtimes.rknn.thread_ownership import ThreadOwnership
from superpoint_rknn.runtimes.rknn.transfer import CopyTransfer, ModelTensors, ZeroCopyTransfer
from superpoint_rknn.runtimes.runtime import (
    ModelError,
    RuntimeNotReadyError,
    RuntimeUnavailableError,
    TensorSpec,
    check_array,
    check_pass_through,
)

TOOLKIT_VERSION = re.compile(rb'compiler version: ([0-9.]+)')  # in a file of rknn-toolkit2

log = logging.getLogger(__name__)


class LibrknnRuntime:
    """
    A SuperPoint model on the NPU; see Runtime.

    The first thread that calls `infer` owns the NPU: while it is alive, `infer` raises
    RuntimeError in all other threads. `close` is thread-safe, even during a blocked call: see
    ThreadOwnership.
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
        Load a .rknn file, which takes a minute on an RV1126 unless it is pre-compiled.

        mean, std: of the input normalisation, see resolve_input_table.
        pass_through: 'true': pass the input bytes through to the NPU without conversion by the
        library; 'false': the library normalises and quantizes (slow); 'auto': 'true' if the input
        is quantized.
        library: file or name of the library; None: search the usual folders.
        zero_copy: share memory with the NPU instead of copying (generation 2 only); falls back to
        copies, with a warning, if the results differ.
        core_mask: NPU cores to use, one bit per core, on chips with several cores.
        Raises RuntimeUnavailableError if the library or the NPU can't be used, ModelError if the
        model file can't be used.
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
        self.zero_copy = False  # True if memory is shared with the NPU
        content = read_model(self._path)
        self.model = model_id(self._path, content)
        self._resources = contextlib.ExitStack()  # closing it twice is harmless
        self._ownership = ThreadOwnership(self.model, self._resources.close)
        self._context = self._open(content)
        try:
            self._read_tensors(mean, std, pass_through)
            self._transfer: CopyTransfer | ZeroCopyTransfer = self._copy_transfer()
            if zero_copy:
                self._enable_zero_copy(content)
        except BaseException as error:
            self._resources.close()
            if isinstance(error, NpuError):
                raise _kind_of(error)(f'{path}: {error}') from error
            if type(error) is RuntimeError:
                raise RuntimeUnavailableError(f'{path}: {error}') from error
            raise

    def infer(self, image: np.ndarray, descriptors: np.ndarray | None) -> np.ndarray:
        """
        Run the model on one image; see Runtime.

        Raises NpuError (a RuntimeError) if the library returns an error code, RuntimeError if the
        runtime is closed or another thread owns the NPU, ValueError if an array has another shape
        or dtype.
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
        with self._ownership.acquire():
            self._run(image, descriptors)
            return to_logits(self._logits)

    def close(self) -> None:
        """Release the NPU, now or when the current call returns."""
        self._ownership.close()

    def _open(self, content: bytes) -> RknnContext:
        try:
            context = RknnContext(self._library, content)
        except NpuError as error:
            written_by = TOOLKIT_VERSION.search(content)
            toolkit = f' (written by toolkit {written_by[1].decode()})' if written_by else ''
            raise _kind_of(error)(f'{self._path}{toolkit}: {error}') from error
        self._resources.callback(self._release, context.destroy)
        if self._core_mask is not None:
            try:
                context.set_core_mask(self._core_mask)
            except NpuError as error:
                self._resources.close()
                raise RuntimeUnavailableError(
                    f'core_mask {self._core_mask}: {error} (not every chip has several cores)'
                ) from error
        return context

    def _read_tensors(self, mean: float | None, std: float | None, pass_through: str) -> None:
        """Read the versions, the tensors and the input table."""
        version, driver = self._context.versions()
        self.name = f'{Path(self._library.path).stem} {version} (driver {driver})'
        try:
            image, logits, descriptors = read_tensors(self._context)
        except ModelError as error:
            raise ModelError(f'{self._path}: {error}') from error
        self.input, self.logits = image.spec, logits.spec
        self.descriptors = descriptors.spec
        if not descriptors.is_raw:
            self.descriptors = TensorSpec(
                descriptors.spec.name, descriptors.spec.shape, np.dtype(np.float32)
            )
        self._logits = np.empty(logits.spec.shape[1:], np.float32)
        self._tensors = ModelTensors(image, logits, descriptors, self.descriptors.dtype)
        quantization = self.input.quantization
        if pass_through == 'true' and quantization is None:
            raise ModelError(
                f'{self._path}: {self.input.name} is {self.input.dtype} without 8-bit '
                'quantization, which pass-through needs; set input.pass_through to auto'
            )
        self.pass_through = False  # True if the library does not convert the input bytes
        self.input_table: np.ndarray | None = None
        if quantization is not None and pass_through != 'false':
            self.pass_through = True
            self.input_table = resolve_input_table(self._path, quantization, mean, std)

    def _copy_transfer(self) -> CopyTransfer:
        return CopyTransfer(self._context, self._tensors, self.pass_through, self.input_table)

    def _enable_zero_copy(self, content: bytes) -> None:
        """Switch to zero copy; fall back to copies, with a warning, if the results differ."""
        if self._library.abi.tensor_mem is None:
            log.warning('zero copy is not supported on generation 1: data is copied')
            return
        height, width = self.input.shape[2:]
        image = np.random.default_rng(0).integers(0, 256, (height, width), np.uint8)
        expected = self._results(image)
        try:
            # From now on the library rejects copies in this context.
            shared = ZeroCopyTransfer(self._context, self._tensors)
            self._resources.callback(self._release, shared.free)
            self._transfer = shared
            results = self._results(image)
            if all(np.array_equal(*pair) for pair in zip(expected, results, strict=True)):
                self.zero_copy = True
                return
            reason = 'its results differ from those of copied data'
        except (RuntimeError, MemoryError) as error:
            reason = str(error)
        log.warning('zero copy is not possible, data is copied: %s', reason)
        self._resources.close()
        self._context = self._open(content)
        self._transfer = self._copy_transfer()

    def _results(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        descriptors = np.empty(self.descriptors.shape[1:], self.descriptors.dtype)
        self._run(image, descriptors)
        return self._logits.copy(), descriptors

    def _run(self, image: np.ndarray, descriptors: np.ndarray | None) -> None:
        try:
            self._run_once(image, descriptors)
        except NpuError as error:
            if not self._transfer.fall_back_to_native(error):
                raise
            self._run_once(image, descriptors)

    def _run_once(self, image: np.ndarray, descriptors: np.ndarray | None) -> None:
        start = time.perf_counter()
        self._transfer.set_input(image)
        was_set = time.perf_counter()
        self._context.run()
        ran = time.perf_counter()
        self._transfer.fetch(self._logits, descriptors)
        self.stages_ms = {
            'inputs_set': 1e3 * (was_set - start),
            'run': 1e3 * (ran - was_set),
            'outputs_get': 1e3 * (time.perf_counter() - ran),
        }

    def _release(self, release: Callable[[], None]) -> None:
        try:
            release()
        except NpuError as error:  # nothing to retry; opening again shows whether it matters
            log.warning('%s: not released cleanly: %s', self.model, error)


def _kind_of(error: NpuError) -> type[RuntimeError]:
    """Return the class that tells whether the model, or the NPU for now or for good, failed."""
    if error.code in MODEL_ERRORS:
        return ModelError
    return RuntimeNotReadyError if error.code in NOT_READY_ERRORS else RuntimeUnavailableError
