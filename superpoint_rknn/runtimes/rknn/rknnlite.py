"""
Run models on a Rockchip NPU with Rockchip's Python package rknnlite, the fallback for librknn.

The package always converts outputs to float32 and does not expose scales and zero points. So
neither pass-through input nor raw outputs are possible, and each image takes more time.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.metadata
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from superpoint_rknn.runtimes.model_files import model_id, read_card
from superpoint_rknn.runtimes.outputs import to_logits
from superpoint_rknn.runtimes.rknn.thread_ownership import ThreadOwnership
from superpoint_rknn.runtimes.runtime import (
    ModelError,
    ModelMissingError,
    RuntimeNotReadyError,
    RuntimeUnavailableError,
    TensorSpec,
    check_array,
    check_tensors,
)

PACKAGES = ('rknn-toolkit-lite2', 'rknn_toolkit_lite')
# Older versions leave about 5 MB in reference cycles at each inference.
FIRST_WITHOUT_CYCLES = (2, 5, 0)
COLLECT_EVERY = 8  # [images] interval of garbage collections for older versions


class RknnliteRuntime:
    """A SuperPoint model on the NPU; see Runtime. Descriptors are float32."""

    input_table: np.ndarray | None = None

    def __init__(
        self,
        path: str | Path,
        *,
        mean: float | None = None,
        std: float | None = None,
        pass_through: str = 'auto',
    ):
        """
        Load a .rknn file; its model card must contain the input size.

        mean, std: must be None, since the library normalises. pass_through: must not be 'true'.
        Raises RuntimeUnavailableError if the package or the NPU can't be used, ModelError if the
        model file can't be used.
        """
        if mean is not None or std is not None or pass_through == 'true':
            raise RuntimeUnavailableError(
                'rknnlite normalises as the model was converted: leave input.mean, input.std and '
                'input.pass_through unset, or use the runtime librknn'
            )
        path = Path(path)
        rknnlite = _import_rknnlite()
        self._size = _image_size(path)
        try:
            self.model = model_id(path, path.read_bytes())
        except OSError as error:
            raise ModelMissingError(f'{path}: {error.strerror}') from error
        self.stages_ms: dict[str, float] = {}
        package, version = _installed()
        self.name = f'{package} {version}'
        self._leaks = _numbers(version) < FIRST_WITHOUT_CYCLES
        self._images = 0
        self._rknn = _open(rknnlite, path)
        self._ownership = ThreadOwnership(self.model, self._rknn.release)
        try:
            self._read_tensors(path)
        except BaseException:
            self._ownership.close()
            raise

    def infer(self, image: np.ndarray, descriptors: np.ndarray | None) -> np.ndarray:
        """
        Run the model on one image; see Runtime.

        Raises RuntimeError if the inference failed, the runtime is closed, or another thread owns
        the NPU; ValueError if an array has another shape or dtype.
        """
        check_array('image', image, self._size, np.dtype(np.uint8))
        if descriptors is not None:
            shape, dtype = self.descriptors.shape[1:], self.descriptors.dtype
            check_array('descriptors', descriptors, shape, dtype, writable=True)
        with self._ownership.acquire():
            outputs = self._run(image)
        logits, raw = sorted(outputs, key=_is_not_logits)
        if logits.shape != self.logits.shape or raw.shape != self.descriptors.shape:
            raise RuntimeError(
                f'{self.name}: outputs of shapes {logits.shape} and {raw.shape}, expected '
                f'{self.logits.shape} and {self.descriptors.shape}'
            )
        if descriptors is not None:
            np.copyto(descriptors, raw[0])
        return to_logits(logits[0])

    def close(self) -> None:
        """Release the NPU, now or when the current call returns."""
        self._ownership.close()

    def _read_tensors(self, path: Path) -> None:
        """Get the shapes of the outputs by an inference, since the package can't query them."""
        try:
            outputs = self._run(np.zeros(self._size, np.uint8))
        except RuntimeError as error:
            raise RuntimeNotReadyError(f'{path}: first inference: {error}') from error
        logits, descriptors = sorted(outputs, key=_is_not_logits)
        self.input = TensorSpec('image', (1, 1, *self._size), np.dtype(np.uint8))
        self.logits = TensorSpec('logits', logits.shape, np.dtype(np.float32))
        self.descriptors = TensorSpec('descriptors', descriptors.shape, np.dtype(np.float32))
        try:
            check_tensors(self.input, self.logits, self.descriptors)
        except ModelError as error:
            raise ModelError(f'{path}: {error}') from error

    def _run(self, image: np.ndarray) -> list[np.ndarray]:
        if self._leaks and self._images % COLLECT_EVERY == 0:
            gc.collect()
        self._images += 1
        start = time.perf_counter()
        try:
            # Both generations expect uint8 in NHWC order by default.
            outputs = self._rknn.inference(inputs=[image[np.newaxis, :, :, np.newaxis]])
        except Exception as error:  # the package raises Exception itself
            raise RuntimeError(f'{self.name}: inference: {error}') from error
        self.stages_ms = {'inference': 1e3 * (time.perf_counter() - start)}
        if outputs is None or len(outputs) != 2:
            found = 'nothing' if outputs is None else f'{len(outputs)} outputs'
            raise RuntimeError(
                f'{self.name}: inference returned {found}, expected logits and descriptors; see '
                'its messages on stderr'
            )
        return outputs


def _is_not_logits(output: np.ndarray) -> bool:
    return output.ndim != 4 or output.shape[1] != 65


def _import_rknnlite() -> Any:
    try:
        from rknnlite.api import RKNNLite
    except (ImportError, OSError) as error:
        raise RuntimeNotReadyError(
            f'rknnlite can not be used: {error}; install rknn-toolkit-lite2 (RK3588, RK356x, '
            'RK3576, RV1126B) or rknn_toolkit_lite 1.7 (RV1126, RV1109; Python 3.6 and 3.7 only)'
        ) from error
    return RKNNLite


def _open(rknnlite: Any, path: Path) -> Any:
    try:
        rknn = rknnlite()
    except Exception as error:  # the package raises Exception itself
        raise RuntimeNotReadyError(f'rknnlite can not be used: {error}') from error
    with contextlib.ExitStack() as on_failure:
        on_failure.callback(rknn.release)
        failure = _failure(rknn.load_rknn, str(path))
        if failure:
            raise ModelError(f'{path}: rknnlite could not load it: {failure}')
        failure = _failure(rknn.init_runtime)
        if failure:
            raise RuntimeNotReadyError(
                f'{path}: rknnlite could not open the NPU: the model may be made for another '
                f'chip, or the driver too old: {failure}'
            )
        on_failure.pop_all()
    return rknn


def _failure(step: Callable[..., int], *arguments: str) -> str | None:
    """Call a function of rknnlite; return the reason if it failed, else None."""
    try:
        code = step(*arguments)
    except Exception as error:  # the package raises Exception itself
        return f'{type(error).__name__}: {error}'
    return None if code == 0 else f'it returned {code}; see its messages on stderr'


def _image_size(path: Path) -> tuple[int, int]:
    """Read height and width from the model card, since rknnlite can't query them."""
    size = read_card(path).get('input', {}).get('size')
    match size:
        case [height, width] if all(type(side) is int and side > 0 for side in size):
            return height, width
    raise ModelError(
        f'{path.with_suffix(".json")}: "input": "size": {size!r:.40}, expected [height, width]; '
        'rknnlite needs it; add it to the model card'
    )


def _installed() -> tuple[str, str]:
    for package in PACKAGES:
        try:
            return package, importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return 'rknnlite', 'unknown'


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r'\d+', version)[:3])
