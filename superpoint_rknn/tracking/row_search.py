"""Search patches along the rows of the other image of a stereo pair, from coarse to fine."""

from __future__ import annotations

import cv2
import numpy as np

from superpoint_rknn.tracking.patch_similarity import ShiftedWindows, similarity
from superpoint_rknn.tracking.row_alignment import RowAlignment

COARSE_WIDTH = 400  # [px] maximum width of the coarse images, unless half the width is more
COARSE = ShiftedWindows(radius=3, shift=2)
FINE = ShiftedWindows(radius=4, shift=4)
CANDIDATES = 4  # coarse matches of a point that are compared in the images
SEPARATION = 2  # [px] of the coarse images between two candidates
# Range of the search, as fractions of the width. Points of the left image are further left in the
# right one; the opposite occurs in images that are not rectified.
MAX_DISPARITY, MAX_OPPOSITE = 0.3, 0.05
MIN_SIMILARITY = 0.88
STEPS = 2  # [px] around the last offset

Images = tuple[np.ndarray, np.ndarray]  # (height, width) float32: of the points, of the matches


class PairSearch:
    """
    Search in one stereo pair.

    left, right: (height, width) uint8. side: 1, or -1 if the cameras are in the opposite order.
    """

    def __init__(self, left: np.ndarray, right: np.ndarray, side: int):
        width = left.shape[1]
        self._factor = max(2, -(-width // COARSE_WIDTH))
        self._images = left.astype(np.float32), right.astype(np.float32)
        self._coarse = self._shrink(self._images[0]), self._shrink(self._images[1])
        low, high = -MAX_DISPARITY * width, MAX_OPPOSITE * width
        self._range = (low, high) if side > 0 else (-high, -low)

    def find(self, points: np.ndarray, alignment: RowAlignment) -> np.ndarray:
        """Search points of the left image in the right one; (N, 2) float32, NaN if not found."""
        return self._find(self._images, self._coarse, points, self._range, alignment)

    def find_back(self, points: np.ndarray, alignment: RowAlignment) -> np.ndarray:
        """Search points of the right image in the left one, see find; points may be NaN."""
        low, high = self._range
        result = np.full_like(points, np.nan)
        valid = np.isfinite(points).all(axis=1)
        if valid.any():
            result[valid] = self._find(
                self._images[::-1], self._coarse[::-1], points[valid], (-high, -low), alignment
            )
        return result

    def follow(
        self, points: np.ndarray, columns: np.ndarray, alignment: RowAlignment
    ) -> np.ndarray:
        """Search points near known differences of columns, (N,); see find."""
        matches, values = _refine(self._images, points, columns, STEPS, alignment)
        matches[values < MIN_SIMILARITY] = np.nan
        return matches

    def _shrink(self, image: np.ndarray) -> np.ndarray:
        height, width = (-(-side // self._factor) for side in image.shape)
        padded = cv2.copyMakeBorder(
            image,
            *(0, height * self._factor - image.shape[0], 0, width * self._factor - image.shape[1]),
            cv2.BORDER_REPLICATE,
        )
        return cv2.resize(padded, (width, height), interpolation=cv2.INTER_AREA)

    def _find(
        self,
        images: Images,
        coarse: Images,
        points: np.ndarray,
        limits: tuple[float, float],
        alignment: RowAlignment,
    ) -> np.ndarray:
        factor = self._factor
        places = (points + 0.5) / factor - 0.5
        columns = np.arange(int(limits[0] // factor), int(-(-limits[1] // factor)) + 1)
        reach = -(-alignment.tolerance // factor)
        centres, slopes = places.copy(), alignment.slopes(points)
        centres[:, 1] += alignment.rows(points, np.zeros(len(points))) / factor
        values = similarity(
            coarse,
            places,
            centres,
            np.arange(-reach, reach + 1),
            columns,
            COARSE,
            slopes,
        ).max(axis=1)
        x = places[:, :1] + columns
        values[(x < 0) | (x > coarse[1].shape[1] - 1)] = -1
        matches, found = _refine(
            images,
            np.repeat(points, CANDIDATES, axis=0),
            factor * columns[_peaks(values)].ravel(),
            factor + 1,
            alignment,
        )
        best = np.arange(len(points)), found.reshape(-1, CANDIDATES).argmax(axis=1)
        matches = matches.reshape(-1, CANDIDATES, 2)[best]
        matches[found.reshape(-1, CANDIDATES)[best] < MIN_SIMILARITY] = np.nan
        return matches


def _peaks(values: np.ndarray) -> np.ndarray:
    """Return the indices of the largest values of each row, SEPARATION apart, (N, CANDIDATES)."""
    values = values.copy()
    every = np.arange(values.shape[1])
    peaks = []
    for _ in range(CANDIDATES):
        peaks.append(values.argmax(axis=1))
        values[np.abs(every - peaks[-1][:, None]) <= SEPARATION] = -1
    return np.stack(peaks, axis=1)


def _refine(
    images: Images,
    points: np.ndarray,
    columns: np.ndarray,
    steps: int,
    alignment: RowAlignment,
) -> tuple[np.ndarray, np.ndarray]:
    """
    Find the best match within `steps` [px] of differences of columns, (N,), to subpixels.

    Returns the matches, (N, 2) float32, and their similarity, (N,).
    """
    around = np.arange(-alignment.tolerance, alignment.tolerance + 1)
    offsets = np.arange(-steps - 1, steps + 2)
    shift = np.stack([columns, alignment.rows(points, columns)], axis=1)
    centres = (points + shift).astype(np.float32)
    slopes = alignment.slopes(points)
    values = similarity(images, points, centres, around, offsets, FINE, slopes)
    along = values.max(axis=1)
    every = np.arange(len(points))
    best = 1 + along[:, 1:-1].argmax(axis=1)
    before, peak, after = (along[every, best + step] for step in (-1, 0, 1))
    curvature = np.minimum(before - 2 * peak + after, -1e-6)
    vertex = np.clip((before - after) / (2 * curvature), -0.5, 0.5)  # of a parabola
    x = offsets[best] + vertex
    y = around[values[every, :, best].argmax(axis=1)] + slopes * x
    return (centres + np.stack([x, y], axis=1)).astype(np.float32), peak
