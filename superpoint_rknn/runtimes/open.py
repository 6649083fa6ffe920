"""Choose the runtime that executes a model file."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path

from superpoint_rknn.runtimes.runtime import ModelError, Runtime, RuntimeUnavailableError

log = logging.getLogger(__name__)

SUFFIXES = {  # of the model files that each engine runs
    'auto': ('.rknn', '.onnx'),
    'librknn': ('.rknn',),
    'rknnlite': ('.rknn',),
    'onnx': ('.onnx',),
}


def open_runtime(
    model: str | Path,
    runtime: str = 'auto',
    *,
    mean: float | None = None,
    std: float | None = None,
    pass_through: str = 'auto',
    zero_copy: bool = False,
    core_mask: int = 0,
    threads: int | None = None,
) -> Runtime:
    """
    Load a network, .rknn or .onnx, on the engine for it.

    runtime: 'auto', 'librknn', 'rknnlite' or 'onnx'.
    mean, std: normalisation of the network's input; None: see `resolve_input_table`.
    pass_through: 'auto', 'true' or 'false'.
    zero_copy, core_mask: of librknn: share memory with the NPU, and which cores to use (0: the
    driver chooses).
    threads: of an inference on the CPU; None: one for each physical core.
    Raises ModelError or RuntimeUnavailableError with the reason; ValueError for an unknown name.
    """
    path = Path(model)
    if not path.is_file():
        raise ModelError(f'{path}: no such file')
    if runtime not in SUFFIXES:
        raise ValueError(f'runtime: {runtime!r}, expected auto, librknn, rknnlite or onnx')
    if path.suffix not in SUFFIXES[runtime]:
        suffixes = ' or '.join(SUFFIXES[runtime])
        raise ModelError(f'{path}: {runtime} expects a model file with the suffix {suffixes}')
    options = {'mean': mean, 'std': std, 'pass_through': pass_through}
    if path.suffix == '.onnx':
        from superpoint_rknn.runtimes.onnx.runtime import OnnxRuntime

        return OnnxRuntime(path, **options, threads=threads)
    if runtime != 'rknnlite':
        from superpoint_rknn.runtimes.rknn.runtime import LibrknnRuntime

        try:
            return LibrknnRuntime(
                path, **options, zero_copy=zero_copy, core_mask=core_mask or None
            )
        except RuntimeUnavailableError as error:
            if runtime == 'librknn' or importlib.util.find_spec('rknnlite') is None:
                raise
            return _open_fallback(path, options, error)
    from superpoint_rknn.runtimes.rknn.rknnlite import RknnliteRuntime

    return RknnliteRuntime(path, **options)


def _open_fallback(path: Path, options: dict, reason: RuntimeUnavailableError) -> Runtime:
    """Open a model by rknnlite, since the C library can't for a reason; tell both."""
    from superpoint_rknn.runtimes.rknn.rknnlite import RknnliteRuntime

    try:
        runtime = RknnliteRuntime(path, **options)
    except (RuntimeUnavailableError, ModelError) as error:
        raise RuntimeUnavailableError(f'{reason}; nor does rknnlite serve: {error}') from error
    log.warning(
        '%s; rknnlite is used instead: slower, without raw outputs, zero copy or core mask', reason
    )
    return runtime
