"""Affine 8-bit quantisation: what a quantised tensor's integers mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Quantization:
    """Affine quantisation of a tensor: real = (q - zero_point) * scale."""

    scale: float
    zero_point: int
    dtype: np.dtype  # uint8 or int8
