"""Which of many scored pixels: order, rank, even spread."""

from __future__ import annotations

import math

import numpy as np

LAST_PIXEL = 2**32 - 1


def nth_largest(values: np.ndarray, n: float) -> float:
    """The n-th largest of some numbers; -inf if there are fewer."""
    n = int(n)
    return float(np.partition(values, -n)[-n]) if n <= values.size else -math.inf


def strongest_first(pixels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    Sort by score, descending, then by pixel, ascending.

    pixels: (N,) flat indices. scores: (N,) float32, none negative.
    """
    # The bits of positive floats order as the floats do: one integer holds the whole criterion.
    keys = scores.view(np.int32).astype(np.int64) << 32
    keys -= pixels
    keys = np.sort(keys)[::-1]
    scores = ((keys + LAST_PIXEL) >> 32).astype(np.int32)
    return -keys & LAST_PIXEL, scores.view(np.float32)


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
