"""Which of many scored pixels: order, rank, even spread."""

from __future__ import annotations

import math

import numpy as np


def kth_largest(values: np.ndarray, n: float) -> float:
    """The n-th largest of some numbers; -inf if there are fewer."""
    n = int(n)
    return float(np.partition(values, -n)[-n]) if n <= values.size else -math.inf


def weakest_first(pixels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    Sort by score, ascending, then by pixel, descending.

    pixels: (N,) flat indices. scores: (N,) float32, none negative.
    """
    # The bits of positive floats order as the floats do, and NumPy sorts 16 of them by radix:
    # twice takes half the time of one sort by comparisons.
    bits = scores.view(np.uint32)
    order = np.argsort(bits.astype(np.uint16), kind='stable')
    upper = (bits >> 16).astype(np.uint16)
    order = order.take(np.argsort(upper.take(order), kind='stable'))
    ranked = scores.take(order)
    pixels = pixels.take(order)
    ties = np.flatnonzero(ranked[1:] == ranked[:-1])
    if ties.size:
        tied = np.zeros(ranked.size, bool)
        tied[ties] = tied[ties + 1] = True
        tied = np.flatnonzero(tied)
        among = pixels[tied]
        pixels[tied] = among[np.lexsort((-among, ranked[tied]))]
    return pixels, ranked


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
