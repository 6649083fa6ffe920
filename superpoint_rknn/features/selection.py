"""Which of many scored pixels: order, rank, even spread."""

from __future__ import annotations

import math
import sys

import numpy as np

LOW, HIGH = (0, 1) if sys.byteorder == 'little' else (1, 0)  # halves of 64 bits


def nth_largest(values: np.ndarray, n: float) -> float:
    """The n-th largest of some numbers; -inf if there are fewer."""
    n = int(n)
    return float(np.partition(values, -n)[-n]) if n <= values.size else -math.inf


def weakest_first(pixels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    Sort by score, ascending, then by pixel, descending.

    pixels: (N,) flat indices. scores: (N,) float32, none negative.
    """
    # The bits of positive floats order as the floats do: one integer holds the whole criterion.
    keys = np.empty(len(pixels), np.int64)
    halves = keys.view(np.int32).reshape(-1, 2)
    halves[:, HIGH] = scores.view(np.int32)
    np.invert(pixels, out=halves[:, LOW], casting='same_kind')
    keys.sort()
    return np.invert(halves[:, LOW].astype(np.intp)), halves[:, HIGH].copy().view(np.float32)


def spread(
    pixels: np.ndarray, most: int, grid: tuple[int, int], size: tuple[int, int]
) -> np.ndarray | slice:
    """
    Choose the strongest pixels, evenly from the parts of the image.

    pixels: (N,) flat indices into an image of `size` (height, width), strongest first.
    most: how many to choose: by rank within its part, and among equal ranks by strength.
    grid: rows and columns of parts.
    Returns an index into `pixels` that keeps their order.
    """
    if len(pixels) <= most or grid == (1, 1):
        return slice(most)
    height, width = size
    rows, cols = grid
    y, x = np.divmod(pixels, width)
    part = (y * rows // height) * cols + x * cols // width
    by_part = np.argsort(part, kind='stable')
    first = np.searchsorted(part[by_part], np.arange(rows * cols))
    rank = np.empty(len(pixels), np.intp)
    rank[by_part] = np.arange(len(pixels)) - first[part[by_part]]
    return np.sort(np.argsort(rank, kind='stable')[:most])
