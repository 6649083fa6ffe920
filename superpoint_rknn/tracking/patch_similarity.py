"""Similarity of image patches near depth edges: correlation in shifted windows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

CHUNK = 32  # points that are processed at once, which bounds the memory


@dataclass(frozen=True)
class ShiftedWindows:
    """
    Nine square windows around a point, shifted by -shift, 0 and shift along both axes [px].

    A point at the edge of an object has the same neighbours in both images of a stereo pair on
    one side only. One of the shifted windows lies on that side (Fusiello et al., Efficient Stereo
    with Multiple Windowing, 1997).
    radius: half of the windows' size less 1 [px].
    """

    radius: int
    shift: int

    @property
    def reach(self) -> int:
        """Maximum distance of a window's pixel from the point along an axis [px]."""
        return self.radius + self.shift

    @cached_property
    def masks(self) -> np.ndarray:
        """Pixels of each window, (9, P * P) float32, of a patch of P = 2 * reach + 1 pixels."""
        size, side = 2 * self.reach + 1, 2 * self.radius + 1
        masks = np.zeros((3, 3, size, size), np.float32)
        for row in range(3):
            for column in range(3):
                y, x = row * self.shift, column * self.shift
                masks[row, column, y : y + side, x : x + side] = 1
        return masks.reshape(9, -1)


def similarity(
    images: tuple[np.ndarray, np.ndarray],
    points: np.ndarray,
    centres: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    windows: ShiftedWindows,
    slopes: np.ndarray,
) -> np.ndarray:
    """
    Compare the patches around points with those around places of another image.

    images: of the points and of the places, (height, width) float32.
    points, centres: (N, 2) (x, y) [px]. rows, columns: (R,), (C,) consecutive integers.
    slopes: (N,); the places are centre + (column, row + slope * column).
    Returns the largest normalised cross-correlation of a window, (N, R, C) float32, -1 to 1.
    """
    first, second = images
    reach, count = windows.reach, (2 * windows.radius + 1) ** 2
    around = np.arange(-reach, reach + 1)
    result = np.empty((len(points), len(rows), len(columns)), np.float32)
    wide_rows = np.arange(rows[0] - reach, rows[-1] + reach + 1)
    wide_columns = np.arange(columns[0] - reach, columns[-1] + reach + 1)
    for start in range(0, len(points), CHUNK):
        chunk = slice(start, start + CHUNK)
        level = np.zeros(len(points[chunk]))
        kernels = _kernels(_sample(first, points[chunk], around, around, level), windows)
        places = _sample(second, centres[chunk], wide_rows, wide_columns, slopes[chunk])
        side = len(around)
        patches = sliding_window_view(places, (1, side, side)).reshape(
            len(places), len(rows) * len(columns), -1
        )
        products = patches @ kernels.transpose(0, 2, 1)
        products = products.reshape(len(places), len(rows), len(columns), 9)
        sums, squares = _window_sums(places, windows), _window_sums(places * places, windows)
        deviations = np.sqrt(np.maximum(squares - sums * sums / count, count))
        result[chunk] = (products / deviations).max(axis=3)
    return result


def _sample(
    image: np.ndarray,
    centres: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    slopes: np.ndarray,
) -> np.ndarray:
    """Interpolate an image at centre + (column, row + slope * column), (N, R, C) float32."""
    shape = (len(centres), len(rows), len(columns))
    x = centres[:, 0, None, None] + columns
    y = centres[:, 1, None, None] + rows[:, None] + slopes[:, None, None] * columns
    map_x, map_y = (
        np.broadcast_to(each, shape).reshape(-1, len(columns)).astype(np.float32)
        for each in (x, y)
    )
    sampled = cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(sampled).reshape(shape)


def _kernels(patches: np.ndarray, windows: ShiftedWindows) -> np.ndarray:
    """Return the windows of (N, P, P) patches, of mean 0 and length 1, (N, 9, P * P)."""
    masks = windows.masks
    count = (2 * windows.radius + 1) ** 2
    patches = patches.reshape(len(patches), 1, -1)
    kernels = (patches - (patches * masks).sum(axis=2, keepdims=True) / count) * masks
    lengths = np.sqrt(np.square(kernels).sum(axis=2, keepdims=True))
    return kernels / np.maximum(lengths, np.sqrt(count))  # a deviation of 1 is noise


def _window_sums(places: np.ndarray, windows: ShiftedWindows) -> np.ndarray:
    """Return the sums of each window at each place, (N, R, C, 9)."""
    _, height, width = places.shape
    side, shift, reach = 2 * windows.radius + 1, windows.shift, windows.reach
    sums = cv2.boxFilter(places.reshape(-1, width), -1, (side, side), normalize=False).reshape(
        places.shape
    )
    sums = sums[:, windows.radius : height - windows.radius]
    sums = sums[:, :, windows.radius : width - windows.radius]
    rows, columns = height - 2 * reach, width - 2 * reach
    return np.stack(
        [
            sums[:, y : y + rows, x : x + columns]
            for y in (0, shift, 2 * shift)
            for x in (0, shift, 2 * shift)
        ],
        axis=3,
    )
