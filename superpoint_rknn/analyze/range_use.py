"""How well the 8-bit range of a tensor fits its float values."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from superpoint_rknn.features.quantization import Quantization

SAMPLES = 20_000  # values kept of each tensor to measure the range
TYPICAL = (0.1, 99.9)  # [percent] percentiles that bound the typical values
SHRINKS = np.geomspace(1, 0.02, 24)  # ranges to try, as shares of the min/max range


class Range(NamedTuple):
    """A quantization range, and the relative rounding error that it causes."""

    low: float
    high: float
    error: float


class RangeUse:
    """
    Float values of a tensor compared with its quantization range, over any number of images.

    All figures need at least one tensor.
    """

    def __init__(self, quantization: Quantization):
        self.quantization = quantization
        self._samples: list[np.ndarray] = []
        self._clipped = self._values = 0

    def add(self, values: np.ndarray) -> None:
        """Add the float values of the tensor for one image, float32 of any shape."""
        lowest, highest = limits(self.quantization)
        half = self.quantization.scale / 2  # values this close to the range are rounded
        outside = (values < lowest - half) | (values > highest + half)
        self._clipped += int(np.count_nonzero(outside))
        self._values += values.size
        flat = values.reshape(-1)
        self._samples.append(flat[:: max(1, flat.size // SAMPLES) | 1].copy())

    @property
    def clipped(self) -> float:
        """Share of the float values that lie outside of the range."""
        return self._clipped / self._values

    @property
    def typical(self) -> tuple[float, float]:
        """0.1st and 99.9th percentile of the float values."""
        low, high = np.percentile(np.concatenate(self._samples), TYPICAL)
        return float(low), float(high)

    @property
    def steps_used(self) -> float:
        """Share of the 256 quantization steps that the typical values span."""
        lowest, highest = limits(self.quantization)
        low, high = np.clip(self.typical, lowest, highest)
        return float((high - low) / (highest - lowest))

    def best(self) -> Range | None:
        """
        Range with a small rounding error for the values seen; None if all of them are 0.

        The best of the min/max range and 23 narrower ones, which is close to the optimum.
        """
        values = np.concatenate(self._samples)
        if not values.any():
            return None
        low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
        error, share = min(
            (_squared_error(values, _quantization(low * share, high * share)), share)
            for share in SHRINKS
        )
        total = float(np.vdot(values, values))
        return Range(low * share, high * share, (error / total) ** 0.5)


def limits(quantization: Quantization) -> tuple[float, float]:
    """Smallest and largest real number that the integers can represent."""
    ends = np.iinfo(quantization.dtype)
    low, high = quantization.dequantize(np.array([ends.min, ends.max], quantization.dtype))
    return float(low), float(high)


def fake_quantize(values: np.ndarray, quantization: Quantization) -> np.ndarray:
    """Quantize and dequantize float32 values of any shape."""
    ends = np.iinfo(quantization.dtype)
    scale, zero_point = np.float32(quantization.scale), quantization.zero_point
    rounded = values / scale
    np.rint(rounded, out=rounded)
    np.clip(rounded, ends.min - zero_point, ends.max - zero_point, out=rounded)
    rounded *= scale
    return rounded


def _quantization(low: float, high: float) -> Quantization:
    """Quantization in uint8 of the range from low <= 0 to high >= 0, low < high."""
    scale = (high - low) / 255
    return Quantization(scale, round(-low / scale), np.dtype(np.uint8))


def _squared_error(values: np.ndarray, quantization: Quantization) -> float:
    """Sum of the squared rounding errors."""
    difference = fake_quantize(values, quantization) - values
    return float(np.vdot(difference, difference))
