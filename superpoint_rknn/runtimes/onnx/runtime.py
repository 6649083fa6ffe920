"""Run models on the CPU with onnxruntime, with the same integers as on an NPU."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from superpoint_rknn.dependencies import pip_install
from superpoint_rknn.runtimes.model_files import (
    model_id,
    resolve_input_table,
    stated_normalisation,
)
from superpoint_rknn.runtimes.outputs import built_in_image, choose_std, to_logits
from superpoint_rknn.runtimes.runtime import (
    ModelError,
    RuntimeNotReadyError,
    TensorSpec,
    check_array,
    check_pass_through,
)

try:
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

    from superpoint_rknn.runtimes.onnx.int8_overflow import has_int8_overflow
    from superpoint_rknn.runtimes.onnx.model import has_signed_first_layer, read_onnx, read_tensors
except ImportError as missing:
    raise RuntimeNotReadyError(
        f'the CPU runtime needs onnxruntime ({missing}): {pip_install("onnxruntime")}'
    ) from missing

# What onnxruntime raises for models that it can't load or run; a RuntimeError has no class of its
# own there.
ORT_ERRORS = (
    RuntimeError,
    *(
        getattr(ort_errors, name)
        for name in (
            *('EPFail', 'Fail', 'InvalidArgument', 'InvalidGraph', 'InvalidProtobuf'),
            *('NotImplemented', 'RuntimeException'),
        )
    ),
)
ERRORS_ONLY = 3  # onnxruntime's log level

log = logging.getLogger(__name__)


class OnnxRuntime:
    """
    A SuperPoint model on the CPU; see Runtime.

    Supports quantized models of `superpoint_rknn quantize`, and float models, whose input is
    (x - mean) / std of the grey values. The outputs of a float model may be float16 or float64,
    and its detector output may be softmaxed.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        mean: float | None = None,
        std: float | None = None,
        pass_through: str = 'auto',
        threads: int | None = None,
    ):
        """
        Load an .onnx file.

        mean, std: of the input normalisation; None: from the model card. If it has no std, that
        of a float model is chosen by a test, see choose_std; for others see default_std.
        pass_through: without effect: the input is always passed through.
        threads: threads of one inference; None: one per physical core.
        Raises ModelError, with the reason, if the file can't be used.
        """
        check_pass_through(pass_through)
        if threads is not None and threads < 1:
            raise ValueError(f'threads: {threads}, expected at least 1')
        path = Path(path)
        content = read_onnx(path)
        precise = has_signed_first_layer(content) and has_int8_overflow()
        if precise:
            log.warning(
                f'{path}: sums of uint8 x int8 products overflow on this CPU; the weights are '
                're-encoded, which is slower; models of `superpoint_rknn quantize` avoid this'
            )
        self.name = f'onnxruntime {onnxruntime.__version__}'
        self.model = model_id(path, content)
        self.stages_ms: dict[str, float] = {}
        try:
            session = onnxruntime.InferenceSession(
                content,
                _options(threads or physical_cores(), precise),
                providers=['CPUExecutionProvider'],
            )
        except ORT_ERRORS as error:
            raise ModelError(f'{path}: onnxruntime can not load this model: {error}') from error
        self.input, self._logits_in_file, self._descriptors_in_file = read_tensors(path, session)
        self.logits = _as_float32(self._logits_in_file)
        self.descriptors = _as_float32(self._descriptors_in_file)
        self.input_table: np.ndarray | None = None
        self._image = np.empty(self.input.shape, self.input.dtype)
        self._logits = np.empty(self.logits.shape, self._logits_in_file.dtype)
        self._run_options = onnxruntime.RunOptions()
        self._run_options.log_severity_level = ERRORS_ONLY
        # Skip the descriptor layers if only the logits are fetched.
        self._run_options.only_execute_path_to_fetches = True
        # Session, bindings with and without descriptors; None: closed. Each binding keeps the
        # memory of the session, too.
        self._opened: tuple[Any, Any, Any] | None = (
            session,
            self._bind(session),
            self._bind(session),
        )
        if self.input.quantization is None:
            mean, std = stated_normalisation(path, mean, std)
            self._set_normalisation(mean, self._choose_std(path, mean) if std is None else std)
        else:
            self.input_table = resolve_input_table(path, self.input.quantization, mean, std)

    def infer(self, image: np.ndarray, descriptors: np.ndarray | None) -> np.ndarray:
        """
        Run the model on one image; see Runtime.

        Raises RuntimeError if onnxruntime fails or the runtime is closed, ValueError if an array
        has another shape or dtype.
        """
        opened = self._opened
        if opened is None:
            raise RuntimeError(f'{self.model} is closed')
        session, with_descriptors, logits_only = opened
        check_array('image', image, self.input.shape[2:], np.dtype(np.uint8))
        start = time.perf_counter()
        self._set_input(image)
        binding, raw = logits_only, None
        if descriptors is not None:
            spec, in_file = self.descriptors, self._descriptors_in_file
            check_array('descriptors', descriptors, spec.shape[1:], spec.dtype, writable=True)
            binding = with_descriptors
            if in_file.dtype != spec.dtype:
                raw = np.empty(spec.shape[1:], in_file.dtype)
            _bind_output(binding, in_file, descriptors if raw is None else raw)
        was_set = time.perf_counter()
        try:
            session.run_with_iobinding(binding, self._run_options)
        except ORT_ERRORS as error:
            raise RuntimeError(f'{self.model}: onnxruntime failed: {error}') from error
        self.stages_ms = {
            'inputs_set': 1e3 * (was_set - start),
            'run': 1e3 * (time.perf_counter() - was_set),
        }
        if descriptors is not None and raw is not None:
            np.copyto(descriptors, raw)
        return to_logits(np.asarray(self._logits[0], np.float32))

    def close(self) -> None:
        """Release the model; a running inference is not interrupted."""
        self._opened = None

    def _set_input(self, image: np.ndarray) -> None:
        target = self._image[0, 0]
        if self.input.quantization is None:
            np.take(self._float_table, image, out=target, mode='clip')
        elif self.input_table is None:
            np.copyto(target.view(np.uint8), image)
        else:
            cv2.LUT(image, self.input_table.view(np.uint8), dst=target.view(np.uint8))

    def _set_normalisation(self, mean: float, std: float) -> None:
        """Set the normalised input of a float model per grey value."""
        self._float_table = ((np.arange(256) - mean) / std).astype(self.input.dtype)

    def _choose_std(self, path: Path, mean: float) -> float:
        image = built_in_image(*self.input.shape[2:])

        def logits_of(std: float) -> np.ndarray:
            self._set_normalisation(mean, std)
            try:
                return self.infer(image, None).copy()
            except RuntimeError as error:
                raise ModelError(f'{path}: this model can not run: {error}') from error

        return choose_std(path, logits_of, 'the parameter input.std')

    def _bind(self, session: onnxruntime.InferenceSession) -> onnxruntime.IOBinding:
        """Bind the input and the logits to this runtime's buffers."""
        binding = session.io_binding()
        image = self._image
        binding.bind_input(
            self.input.name, 'cpu', 0, image.dtype, list(image.shape), image.ctypes.data
        )
        _bind_output(binding, self._logits_in_file, self._logits)
        return binding


def physical_cores() -> int:
    """Return the number of physical cores that this process may use."""
    allowed = os.sched_getaffinity(0)
    cores = set()
    for cpu in allowed:
        siblings = Path(f'/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list')
        try:
            cores.add(siblings.read_text(encoding='ascii').strip())
        except OSError:  # missing in some containers
            cores.add(str(cpu))
    return len(cores)


def _options(threads: int, precise: bool) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    # Waiting threads sleep: spinning would block cores for other processes.
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    if precise:
        options.add_session_config_entry('session.x64quantprecision', '1')
    return options


def _as_float32(spec: TensorSpec) -> TensorSpec:
    """Spec of an output after float16 and float64 were converted to float32."""
    return spec if spec.quantization else replace(spec, dtype=np.dtype(np.float32))


def _bind_output(binding: onnxruntime.IOBinding, spec: TensorSpec, array: np.ndarray) -> None:
    binding.bind_output(spec.name, 'cpu', 0, spec.dtype, list(spec.shape), array.ctypes.data)
