"""Comparison of a board's outputs with the golden outputs, and the mistake that explains them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from superpoint_rknn.board_report.golden import CELLS, Golden, digest
from superpoint_rknn.features.quantization import Quantization

SAME_SCALE = 0.01  # relative difference up to which the integers of two models are comparable
EXPLAINS = 0.9  # mean cosine, or correlation, of outputs that were corrected for a mistake
MIN_GAIN = 0.005  # by which the correction of a zero point must raise the cosine


def compare(
    golden: Golden,
    logits: np.ndarray,
    raw: np.ndarray,
    quantization: Quantization | None,
    keypoints: np.ndarray,
) -> dict[str, Any]:
    """
    Return the figures of one image.

    logits: (65, H/8, W/8) float32. raw: (C, H/8, W/8) descriptors as fetched.
    quantization: of `raw`; None: they are floats. keypoints: (N, 2) x and y [px].
    """
    part = _at_cells(logits)
    real = _at_cells(_dequantize(raw, quantization))
    expected = golden.quantization.dequantize(golden.descriptors)
    within = _share_within_1px(golden.keypoints, keypoints)
    return {
        'finite': bool(np.isfinite(logits).all() and np.isfinite(real).all()),
        'logits_max_difference': _number(np.abs(part - golden.logits.astype(np.float32)).max()),
        'logits_correlation': _number(correlation(part, golden.logits)),
        'cosine': _number(cosine(real, expected)),
        'identical': quantization is not None and digest(raw) == golden.digest,
        **_integer_figures(golden, raw, quantization),
        'keypoints': len(keypoints),
        'golden_keypoints': len(golden.keypoints),
        'keypoints_within_1px': _number(within),
    }


def mistakes(
    golden: Golden,
    logits: np.ndarray,
    raw: np.ndarray,
    quantization: Quantization | None,
) -> list[str]:
    """
    Return the names of the mistakes that explain wrong outputs, keys of `points.MISTAKES`.

    Arguments: see `compare`.
    """
    found = []
    expected = golden.quantization.dequantize(golden.descriptors)
    now = cosine(_at_cells(_dequantize(raw, quantization)), expected)
    if correlation(_at_cells(logits), golden.logits) < EXPLAINS:
        for name, changed in _other_layouts(logits):
            if correlation(_at_cells(changed), golden.logits) >= EXPLAINS:
                found.append(f'logits_{name}')
    if now < EXPLAINS:
        for name, changed in _other_layouts(raw):
            if cosine(_at_cells(_dequantize(changed, quantization)), expected) >= EXPLAINS:
                found.append(f'descriptors_{name}')
    if quantization is not None:
        if now < EXPLAINS:
            flipped = (raw.view(np.uint8) ^ np.uint8(0x80)).view(raw.dtype)
            if cosine(_at_cells(_dequantize(flipped, quantization)), expected) >= EXPLAINS:
                found.append('descriptors_sign')
        shift = _zero_point_shift(golden, raw, quantization)
        if shift and not found:
            shifted = _at_cells(_dequantize(raw, quantization)) - shift * quantization.scale
            if cosine(shifted, expected) >= max(EXPLAINS, now + MIN_GAIN):
                found.append('zero_point')
    return found


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    """Mean cosine similarity of the descriptors of all cells, (C, rows, cols) float32."""
    if first.shape != second.shape:
        return float('nan')
    norms = np.linalg.norm(first, axis=0) * np.linalg.norm(second, axis=0)
    dots = np.einsum('chw,chw->hw', first, second)
    return float((dots / np.maximum(norms, np.finfo(np.float32).tiny)).mean())


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation coefficient of all values; 0 if one array is constant."""
    pair = [values.astype(np.float64).ravel() for values in (first, second)]
    deviations = [values - values.mean() for values in pair]
    norm = np.linalg.norm(deviations[0]) * np.linalg.norm(deviations[1])
    return float(np.dot(*deviations) / norm) if norm > 0 else 0.0


def _integer_figures(
    golden: Golden, raw: np.ndarray, quantization: Quantization | None
) -> dict[str, Any]:
    """Figures of the bytes, relative to the zero points; None where they are not comparable."""
    names = ('equal_bytes', 'within_one', 'max_byte_difference', 'zero_point_shift')
    if quantization is None or not _same_scale(golden, quantization):
        return dict.fromkeys(names)
    difference = _differences(golden, raw, quantization)
    return {
        'equal_bytes': _number((difference == 0).mean()),
        'within_one': _number((np.abs(difference) <= 1).mean()),
        'max_byte_difference': int(np.abs(difference).max()),
        'zero_point_shift': _zero_point_shift(golden, raw, quantization),
    }


def _differences(golden: Golden, raw: np.ndarray, quantization: Quantization) -> np.ndarray:
    ours = _at_cells(raw).astype(np.int32) - quantization.zero_point
    return ours - (golden.descriptors.astype(np.int32) - golden.quantization.zero_point)


def _zero_point_shift(golden: Golden, raw: np.ndarray, quantization: Quantization) -> int:
    if not _same_scale(golden, quantization):
        return 0
    return int(np.median(_differences(golden, raw, quantization)))


def _same_scale(golden: Golden, quantization: Quantization) -> bool:
    return abs(quantization.scale / golden.quantization.scale - 1) < SAME_SCALE


def _other_layouts(values: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Names of layouts, and (C, rows, cols) maps as they are if the library wrote that layout."""
    channels, rows, cols = values.shape
    yield 'nhwc', values.reshape(rows, cols, channels).transpose(2, 0, 1)
    yield 'transposed', values.reshape(channels, cols, rows).transpose(0, 2, 1)


def _at_cells(values: np.ndarray) -> np.ndarray:
    rows, cols = CELLS
    return values[:, rows, cols]


def _dequantize(raw: np.ndarray, quantization: Quantization | None) -> np.ndarray:
    return raw.astype(np.float32) if quantization is None else quantization.dequantize(raw)


def _share_within_1px(first: np.ndarray, second: np.ndarray) -> float:
    """Smaller share of the points of one set, (N, 2), that have one of the other within 1 px."""
    if not len(first) or not len(second):
        return 0.0
    offsets = first[:, None].astype(np.float32) - second.astype(np.float32)
    near = (offsets**2).sum(2) <= 1
    return float(min(near.any(1).mean(), near.any(0).mean()))


def _number(value: float) -> float | None:
    """Return a number with 6 digits; None if it is not finite, which JSON has no text for."""
    return round(float(value), 6) if np.isfinite(value) else None
