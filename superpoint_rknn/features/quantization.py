"""Affine 8-bit quantization, and the input table that maps grey values to a quantized input."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

BYTES = np.arange(256, dtype=np.uint8)
MIN_LEVELS = 200  # minimum number of distinct input values for the 256 grey values


@dataclass(frozen=True)
class Quantization:
    """
    Affine quantization of a tensor: real = (q - zero_point) * scale.

    Raises ValueError if `dtype` is neither uint8 nor int8, `zero_point` lies outside its range,
    or `scale` is not a positive number.
    """

    scale: float
    zero_point: int
    dtype: np.dtype

    def __post_init__(self) -> None:
        object.__setattr__(self, 'dtype', np.dtype(self.dtype))
        if self.dtype not in (np.uint8, np.int8):
            raise ValueError(f'dtype: {self.dtype}, expected uint8 or int8')
        limits = np.iinfo(self.dtype)
        if not limits.min <= self.zero_point <= limits.max:
            raise ValueError(
                f'zero_point: {self.zero_point}, expected {limits.min} to {limits.max}'
            )
        if not (self.scale > 0 and math.isfinite(self.scale)):
            raise ValueError(f'scale: {self.scale}, expected a positive number')

    def quantize(self, x: np.ndarray) -> np.ndarray:
        """
        Quantize real numbers: clamp(round(x / scale + zero_point)), halves to even.

        Returns an array of the shape of x and of `dtype`.
        """
        limits = np.iinfo(self.dtype)
        q = np.rint(np.asarray(x, np.float64) / self.scale + self.zero_point)
        return np.clip(q, limits.min, limits.max).astype(self.dtype)

    def dequantize(self, q: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """
        Dequantize a whole array (OpenCV's convertTo): (q - zero_point) * scale, float32.

        For whole outputs; DescriptorSampler dequantizes descriptors at the sampled points only.
        out: float32 of the shape of q, receives the result; None: allocated.
        """
        out = np.subtract(q, np.float32(self.zero_point), out=out, dtype=np.float32)
        return np.multiply(out, np.float32(self.scale), out=out)


def symmetric_quantization(x: np.ndarray) -> Quantization:
    """Return the finest uint8 quantization with zero point 128 that clips none of the values."""
    largest = float(np.abs(x).max(initial=0.0))
    return Quantization(largest / 127 or 1.0, 128, np.dtype(np.uint8))


def input_table(quantization: Quantization, mean: float, std: float) -> np.ndarray:
    """
    Return the input table: clamp(round((x - mean) / std / scale + zero_point)) per grey value x.

    Returns (256,) of the quantization's dtype.
    Raises ValueError if the table is not monotone or has fewer than MIN_LEVELS distinct values,
    because images would be clipped silently.
    """
    if not (math.isfinite(mean) and math.isfinite(std) and std != 0):
        raise ValueError(f'mean {mean}, std {std}: expected numbers, std not 0')
    table = quantization.quantize((BYTES.astype(np.float64) - mean) / std)
    levels = np.unique(table).size
    if levels >= MIN_LEVELS and not np.any(table[1:] < table[:-1]):
        return table
    raise ValueError(
        f'mean {mean}, std {std} with scale {quantization.scale:g} and zero point '
        f'{quantization.zero_point} map the 256 grey values to {levels} distinct inputs, from '
        f'{table[0]} to {table[-1]}: set mean and std as at the conversion of the model, or '
        'convert it with calibration images that reach from black to white'
    )


def default_std(quantization: Quantization) -> float:
    """
    Return the std that the model was most likely converted with, for mean 0.

    255 if the input scale is about 1/255 (the model takes 0..1), 1 if it is about 1 (the first
    layer's weights contain the division by 255).
    Raises ValueError for any other scale.
    """
    for std in (255.0, 1.0):
        if 0.8 <= quantization.scale * std <= 1.25:
            return std
    raise ValueError(
        f'the input scale {quantization.scale:g} is neither about 1/255 nor about 1: '
        'set mean and std as at the conversion of the model'
    )


def is_identity(table: np.ndarray) -> bool:
    """Return True if an input table maps every byte to itself."""
    return np.array_equal(table.view(np.uint8), BYTES)
