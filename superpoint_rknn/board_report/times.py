"""Times of the article's table, measured on this board."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from superpoint_rknn.board_report.npu import NpuCalls
from superpoint_rknn.board_report.privacy import public_text
from superpoint_rknn.features.descriptors import DescriptorSampler
from superpoint_rknn.features.keypoints import DetectorSettings, KeypointDetector, Keypoints
from superpoint_rknn.features.quantization import Quantization
from superpoint_rknn.native.features import NativeDescriptorSampler, NativeKeypointDetector
from superpoint_rknn.native.library import library
from superpoint_rknn.runtimes.open import open_runtime
from superpoint_rknn.runtimes.runtime import Runtime

CALLS = 200  # of each row, unless the budget ends before
BUDGET = 6.0  # [s] for the calls of a row
WARM_UP = 3
POINTS = 500
CORE_MASKS = {'rk3588': (1, 2, 4, 3, 7), 'rk3576': (1, 2, 3)}  # chips with several NPU cores


class Row(NamedTuple):
    """A row of the table; article_ms: the article's figure, None where it has none."""

    text: str
    article_ms: float | None = None


# The article measured an RV1126, C API, 640x400 grey.
ROWS = {
    'inputs_set_normal': Row('inputs_set, the library normalises and quantizes', 33.0),
    'input_table': Row('normalise and quantize on the CPU (ours: the input table)', 10.0),
    'inputs_set_pass_through': Row('inputs_set, pass-through', 1.0),
    'run': Row('run'),
    'outputs_float': Row('outputs_get, both outputs as float', 19.0),
    'outputs_optimized': Row('the same, model converted with output_optimize=1', 14.0),
    'outputs_raw_descriptors': Row('outputs_get, logits as float, descriptors raw', 8.0),
    'outputs_raw': Row('outputs_get, both outputs raw', 4.0),
    'outputs_logits': Row('outputs_get, only the logits'),
    'convert_to_map': Row('convertTo of the whole descriptor map', 3.7),
    'convert_to_points': Row(f'convertTo of {POINTS} descriptors'),
    'decode_numpy': Row('decode, NumPy'),
    'decode_native': Row('decode, native library'),
    'describe_numpy': Row(f'descriptors of {POINTS} points, NumPy'),
    'describe_native': Row(f'descriptors of {POINTS} points, native library'),
    'inference_copy': Row('inference with raw descriptors, data copied'),
    'inference_zero_copy': Row('inference with raw descriptors, zero copy'),
    **{
        f'run_core_mask_{mask}': Row(f'run on the cores of mask {mask}')
        for mask in (1, 2, 4, 3, 7)
    },
}


def npu_rows(
    calls: NpuCalls, image: np.ndarray, table: np.ndarray | None, cores: tuple[int, ...]
) -> Iterator[dict[str, Any]]:
    """
    Measure the rows of direct calls.

    image: (H, W) uint8. table: input table; None: the image's bytes are passed through.
    cores: core masks to measure.
    """
    kinds: dict[str, tuple[bool, bool | None]] = {  # logits, descriptors: as float?
        'outputs_float': (True, True),
        'outputs_raw_descriptors': (True, False),
        'outputs_raw': (False, False),
        'outputs_logits': (True, None),
    }
    passed = image if table is None else cv2.LUT(image, table.view(np.uint8))
    is_quantized = calls.image.is_raw
    for name, (logits, descriptors) in kinds.items():
        normal = name == 'outputs_float' or not is_quantized
        try:
            call = calls.outputs(logits, descriptors)
            values = image if normal else passed
            durations = _repeat(lambda: calls.cycle(values, not normal, call))  # noqa: B023
        except RuntimeError as error:
            yield _unmeasured(name, str(error))
            continue
        if name == 'outputs_float':
            yield _row('inputs_set_normal', durations[:, 0])
        if name == 'outputs_raw' and is_quantized:
            yield _row('inputs_set_pass_through', durations[:, 0])
            yield _row('run', durations[:, 1])
        yield _row(name, durations[:, 2])
    yield _unmeasured('outputs_optimized', 'an option of the conversion, not of the runtime')
    yield from _core_rows(calls, image, cores)


def _core_rows(
    calls: NpuCalls, image: np.ndarray, cores: tuple[int, ...]
) -> Iterator[dict[str, Any]]:
    call = calls.outputs(False, False)
    for mask in cores:
        try:
            calls.set_core_mask(mask)
            durations = _repeat(lambda: calls.cycle(image, False, call))
        except RuntimeError as error:
            yield _unmeasured(f'run_core_mask_{mask}', str(error))
        else:
            yield _row(f'run_core_mask_{mask}', durations[:, 1])


def inference_row(name: str, runtime: Runtime, image: np.ndarray) -> dict[str, Any]:
    """Measure a whole inference, (H, W) uint8 to logits and raw descriptors."""
    raw = np.empty(runtime.descriptors.shape[1:], runtime.descriptors.dtype)

    def infer() -> tuple[float]:
        return (_seconds(lambda: runtime.infer(image, raw)),)

    return _row(name, _repeat(infer)[:, 0])


def zero_copy_row(path: Path, image: np.ndarray) -> dict[str, Any]:
    """Measure an inference with memory shared with the NPU."""
    name = 'inference_zero_copy'
    try:
        runtime = open_runtime(path, zero_copy=True)
    except RuntimeError as error:
        return _unmeasured(name, str(error))
    try:
        if not getattr(runtime, 'zero_copy', False):
            return _unmeasured(name, 'the results differed, or this chip does not support it')
        return inference_row(name, runtime, image)
    finally:
        runtime.close()


def host_rows(
    logits: np.ndarray, raw: np.ndarray, quantization: Quantization | None
) -> Iterator[dict[str, Any]]:
    """
    Measure the steps of the CPU on the outputs of one image.

    logits: (65, H/8, W/8) float32. raw: (C, H/8, W/8) with this quantization.
    """
    height, width = 8 * logits.shape[1], 8 * logits.shape[2]
    channels, rows, cols = raw.shape
    settings = DetectorSettings(threshold=0.0, max_keypoints=POINTS)
    detector = KeypointDetector(height, width)
    points = detector.detect(logits, settings)
    sampler = DescriptorSampler(channels, rows, cols, quantization)
    yield _measured('decode_numpy', lambda: detector.detect(logits, DetectorSettings()))
    yield _measured('describe_numpy', lambda: _describe(sampler, raw, points))
    native = library()
    if native is None:
        reason = 'the native library is not built'
        yield _unmeasured('decode_native', reason)
        yield _unmeasured('describe_native', reason)
    else:
        fast = NativeKeypointDetector(native, height, width)
        fast_sampler = NativeDescriptorSampler(native, channels, rows, cols, quantization)
        yield _measured('decode_native', lambda: fast.detect(logits, DetectorSettings()))
        yield _measured('describe_native', lambda: _describe(fast_sampler, raw, points))
    if quantization is not None:
        real = np.empty(raw.shape, np.float32)
        part = np.ascontiguousarray(raw.reshape(len(raw), -1)[:, :POINTS].T)
        real_part = np.empty(part.shape, np.float32)
        yield _measured('convert_to_map', lambda: quantization.dequantize(raw, real))
        yield _measured('convert_to_points', lambda: quantization.dequantize(part, real_part))
    image = np.zeros((height, width), np.uint8)
    table, out = np.arange(256, dtype=np.uint8)[::-1].copy(), np.empty_like(image)
    yield _measured('input_table', lambda: cv2.LUT(image, table, out))


def _describe(
    sampler: DescriptorSampler | NativeDescriptorSampler, raw: np.ndarray, points: Keypoints
) -> np.ndarray:
    return sampler.sample_descriptors(raw, points.x, points.y)


def _measured(name: str, call: Callable[[], object]) -> dict[str, Any]:
    return _row(name, _repeat(lambda: (_seconds(call),))[:, 0])


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _repeat(call: Callable[[], tuple[float, ...]]) -> np.ndarray:
    """Durations [s] of up to CALLS calls within the budget, (calls, values of a call)."""
    for _ in range(WARM_UP):
        call()
    end = time.monotonic() + BUDGET
    durations: list[tuple[float, ...]] = []
    while len(durations) < CALLS and (not durations or time.monotonic() < end):
        durations.append(call())
    return np.array(durations)


def _row(name: str, durations: np.ndarray) -> dict[str, Any]:
    median, p95 = 1e3 * np.percentile(durations, [50, 95])
    return {
        'name': name,
        'median_ms': round(float(median), 4),
        'p95_ms': round(float(p95), 4),
        'calls': len(durations),
        'reason': None,
    }


def _unmeasured(name: str, reason: str) -> dict[str, Any]:
    return {
        'name': name,
        'median_ms': None,
        'p95_ms': None,
        'calls': 0,
        'reason': public_text(reason),
    }
