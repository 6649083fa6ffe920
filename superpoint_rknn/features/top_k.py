"""Top-k selection of scored pixels, and a bound that leaves out cells before it."""

from __future__ import annotations

import math

import numpy as np


def min_contrast(probability: float) -> float:
    """
    Return a lower bound of the contrast of cells with a pixel above a probability.

    contrast: maximum logit of the cell's pixels - logit of "no point". The denominator of the
    softmax contains these two terms, so the probability is at most sigmoid(contrast).
    The margin of the bound is much wider than the rounding errors of float32.
    """
    lowest = probability * (1 - 1e-4)
    return math.log(lowest / (1 - lowest)) - 1e-4 if lowest else -math.inf


def sort_by_score(pixels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    Sort by score, ascending; ties by pixel, descending.

    pixels: (N,) flat indices. scores: (N,) float32, none negative.
    """
    # The bits of non-negative floats have the order of the floats, and NumPy sorts 16-bit integers
    # by radix sort: two of these take half the time of one comparison sort.
    bits = scores.view(np.uint32)
    order = np.argsort(bits.astype(np.uint16), kind='stable')
    upper = (bits >> 16).astype(np.uint16)
    order = order.take(np.argsort(upper.take(order), kind='stable'))
    scores = scores.take(order)
    pixels = pixels.take(order)
    ties = np.flatnonzero(scores[1:] == scores[:-1])
    if ties.size:
        is_tied = np.zeros(scores.size, bool)
        is_tied[ties] = is_tied[ties + 1] = True
        tied = np.flatnonzero(is_tied)
        tied_pixels = pixels[tied]
        pixels[tied] = tied_pixels[np.lexsort((-tied_pixels, scores[tied]))]
    return pixels, scores


def select_top_k_keypoints(
    pixels: np.ndarray, k: int, grid: tuple[int, int], size: tuple[int, int]
) -> np.ndarray | slice:
    """
    Select the k pixels of highest score, spread evenly over the cells of a grid.

    Candidates are ordered by their rank within their grid cell, equal ranks by score.

    pixels: (N,) flat indices into an image of `size` (height, width), highest score first.
    grid: rows and columns; (1, 1) selects by score alone.
    Returns an index into `pixels` that keeps their order.
    """
    if len(pixels) <= k or grid == (1, 1):
        return slice(k)
    height, width = size
    rows, cols = grid
    y, x = np.divmod(pixels, width)
    cell = (y * rows // height) * cols + x * cols // width
    by_cell = np.argsort(cell, kind='stable')
    first = np.searchsorted(cell[by_cell], np.arange(rows * cols))
    rank = np.empty(len(pixels), np.intp)
    rank[by_cell] = np.arange(len(pixels)) - first[cell[by_cell]]
    return np.sort(np.argsort(rank, kind='stable')[:k])
