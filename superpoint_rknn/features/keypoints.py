"""Detector logits -> keypoints."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from superpoint_rknn.features.image import Placement

CELL = 8  # [px] side of the square that one column of logits describes
PIXELS = CELL * CELL


@dataclass(frozen=True)
class Keypoints:
    """Interest points, strongest first; all (N,) float32."""

    x: np.ndarray  # [px]; 0 is the centre of the leftmost column
    y: np.ndarray  # [px]; 0 is the centre of the top row
    score: np.ndarray  # detector probability, 0..1

    def __len__(self) -> int:
        return len(self.score)


@dataclass(frozen=True)
class DetectorSettings:
    """
    Which points to keep; lengths are network pixels.

    Raises ValueError for a setting outside its range.
    """

    threshold: float = 0.015  # lowest detector probability, itself excluded, 0..1
    nms_radius: int = 4  # [px] no stronger point this near, along either axis
    max_keypoints: int = 500  # the strongest
    border: int = 4  # [px] margin without points
    grid: tuple[int, int] = (1, 1)  # rows, columns: an even spread over the image's parts
    subpixel: bool = False  # refine each point by up to half a pixel

    def __post_init__(self):
        if not 0 <= self.threshold < 1:
            raise ValueError(f'threshold: {self.threshold}, expected 0 <= threshold < 1')
        for name, least in (('nms_radius', 0), ('max_keypoints', 1), ('border', 0)):
            if getattr(self, name) < least:
                raise ValueError(f'{name}: {getattr(self, name)}, expected at least {least}')
        if len(self.grid) != 2 or min(self.grid) < 1:
            raise ValueError(f'grid: {self.grid}, expected two numbers, rows and columns, above 0')


class KeypointDetector:
    """
    Finds keypoints in the detector's logits.

    Holds buffers that `detect` reuses: not for two threads at a time.
    height, width: of the network image [px]. Raises ValueError if they aren't divisible by 8.
    """

    def __init__(self, height: int, width: int):
        if height < CELL or width < CELL or height % CELL or width % CELL:
            raise ValueError(f'network image: {height}x{width} is not divisible by {CELL}')
        self._size = (height, width)
        self._cells = (height // CELL, width // CELL)
        self._scores = np.zeros((height, width), np.float32)  # zero between calls

    def detect(
        self,
        logits: np.ndarray,
        settings: DetectorSettings,
        allowed: np.ndarray | None = None,
    ) -> Keypoints:
        """
        Keypoints of one image, in network pixels, strongest first, ties in row-major order.

        A pixel's score is the softmax over the 65 channels; channel 8 * dy + dx is pixel (dy, dx)
        of its 8x8 cell, channel 64 is "no point". A keypoint is a pixel with a score above the
        threshold that no pixel within the (2 * nms_radius + 1)^2 window exceeds.

        logits: (65, height / 8, width / 8) float32.
        allowed: (height, width) bool or uint8, no keypoints where it is 0; None allows all.
        Raises ValueError if an array is of another shape.
        """
        if logits.shape != (PIXELS + 1, *self._cells):
            raise ValueError(f'logits: {logits.shape}, expected {(PIXELS + 1, *self._cells)}')
        if allowed is not None and allowed.shape != self._size:
            raise ValueError(f'allowed: {allowed.shape}, expected {self._size}')
        flat = logits.reshape(PIXELS + 1, -1)
        pixels, scores = self._candidates(flat, settings.threshold)
        pixels, scores = self._local_maxima(pixels, scores, settings.nms_radius)
        pixels, scores = self._inside(pixels, scores, settings.border, allowed)
        order = np.lexsort((pixels, -scores))
        pixels, scores = pixels[order], scores[order]
        chosen = self._choose(pixels, settings)
        pixels, scores = pixels[chosen], scores[chosen]
        y, x = np.divmod(pixels, self._size[1])
        x, y = x.astype(np.float32), y.astype(np.float32)
        if settings.subpixel:
            dx, dy = self._refine(flat, pixels)
            x, y = x + dx, y + dy
        return Keypoints(x, y, scores)

    def _candidates(self, flat: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (flat indices) whose score exceeds the threshold, and the scores."""
        survives = flat[:PIXELS].max(0) - flat[PIXELS] > _least_contrast(threshold)
        survives[:2] = True  # NumPy adds up a single column in another order than several
        cells = np.flatnonzero(survives)
        share = _softmax(flat.take(cells, axis=1))[:PIXELS]
        channel, column = np.nonzero(share > np.float32(threshold))
        cell_row, cell_column = np.divmod(cells[column], self._cells[1])
        dy, dx = np.divmod(channel, CELL)
        pixels = (cell_row * CELL + dy) * self._size[1] + cell_column * CELL + dx
        return pixels, share[channel, column]

    def _local_maxima(
        self, pixels: np.ndarray, scores: np.ndarray, radius: int
    ) -> tuple[np.ndarray, np.ndarray]:
        if radius == 0:
            return pixels, scores
        canvas = self._scores.reshape(-1)
        canvas[pixels] = scores
        window = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
        highest = cv2.dilate(self._scores, window).reshape(-1)[pixels]
        canvas[pixels] = 0
        keep = scores >= highest
        return pixels[keep], scores[keep]

    def _inside(
        self, pixels: np.ndarray, scores: np.ndarray, border: int, allowed: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        height, width = self._size
        y, x = np.divmod(pixels, width)
        keep = (x >= border) & (x < width - border) & (y >= border) & (y < height - border)
        if allowed is not None:
            keep &= allowed.reshape(-1)[pixels] != 0
        return pixels[keep], scores[keep]

    def _choose(self, pixels: np.ndarray, settings: DetectorSettings) -> np.ndarray | slice:
        """Which of the pixels, strongest first, to keep, in the same order."""
        if len(pixels) <= settings.max_keypoints or settings.grid == (1, 1):
            return slice(settings.max_keypoints)
        height, width = self._size
        rows, cols = settings.grid
        y, x = np.divmod(pixels, width)
        part = (y * rows // height) * cols + x * cols // width
        by_part = np.argsort(part, kind='stable')
        first = np.searchsorted(part[by_part], np.arange(rows * cols))
        rank = np.empty(len(pixels), np.intp)
        rank[by_part] = np.arange(len(pixels)) - first[part[by_part]]
        return np.sort(np.argsort(rank, kind='stable')[: settings.max_keypoints])

    def _refine(self, flat: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """
        Shift of each pixel to the peak of the quadratic through its 3x3 log probabilities [px].

        Least squares fit f = a + b x + c y + d x^2 + e x y + f y^2; no shift where it has no peak
        or at the image's edge. Returns dx, dy, (N,) float32, at most 0.5 either way.
        """
        height, width = self._size
        y, x = np.divmod(pixels, width)
        interior = (x > 0) & (x < width - 1) & (y > 0) & (y < height - 1)
        dx, dy = np.zeros(len(pixels), np.float32), np.zeros(len(pixels), np.float32)
        steps = np.arange(-1, 2)
        rows = (y[interior, None] + steps)[:, :, None]
        cols = (x[interior, None] + steps)[:, None, :]
        cells, inverse = np.unique(
            rows // CELL * self._cells[1] + cols // CELL, return_inverse=True
        )
        columns = flat[:, cells].astype(np.float64)
        log_sum = np.log(np.exp(columns - columns.max(0)).sum(0)) + columns.max(0)
        inverse = inverse.reshape(rows.shape[0], 3, 3)
        patch = columns[rows % CELL * CELL + cols % CELL, inverse] - log_sum[inverse]
        dx[interior], dy[interior] = _peak(patch)
        return dx, dy


def allowed_map(
    placement: Placement, mask: np.ndarray | None = None, border: int = 0
) -> np.ndarray | None:
    """
    Where keypoints may lie in the network image.

    mask: (height, width) of the camera image, no keypoints where it is 0; None allows all.
    border: [px] network pixels to stay away from letterbox padding.
    Returns (H, W) uint8, 0 where none may lie; None if they may lie everywhere.
    Raises ValueError if the mask isn't of the camera image's size.
    """
    y0, x0, y1, x1 = placement.valid
    padded = (y1 - y0, x1 - x0) != placement.network_size
    if mask is None and not padded:
        return None
    allowed = np.ones(placement.network_size, np.uint8)
    if padded:
        allowed[:] = 0
        allowed[y0 + border : max(y1 - border, 0), x0 + border : max(x1 - border, 0)] = 1
    if mask is not None:
        if mask.shape != placement.image_size:
            raise ValueError(
                f'mask: (height, width) {mask.shape}, the camera image has {placement.image_size}'
            )
        height, width = placement.network_size
        x, y = placement.to_image(np.arange(width, dtype=float), np.arange(height, dtype=float))
        rows = np.clip(np.rint(y).astype(np.intp), 0, mask.shape[0] - 1)
        cols = np.clip(np.rint(x).astype(np.intp), 0, mask.shape[1] - 1)
        allowed[mask[np.ix_(rows, cols)] == 0] = 0
    return None if allowed.all() else allowed


def _least_contrast(threshold: float) -> float:
    """
    Least (strongest logit - logit of "no point") of a cell that can hold a point.

    A score is at most sigmoid(contrast); the margin is far wider than what float32 rounds off.
    """
    lowest = threshold * (1 - 1e-4)
    return math.log(lowest / (1 - lowest)) - 1e-4 if lowest else -math.inf


def _softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax over the first axis, float32."""
    share = np.exp(logits - logits.max(0))
    share /= share.sum(0)
    return share


def _peak(patch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the least squares quadratic of each 3x3 patch (N, y, x) peaks, from its centre."""
    column, row = patch.sum(1), patch.sum(2)
    b, c = (column[:, 2] - column[:, 0]) / 6, (row[:, 2] - row[:, 0]) / 6
    xx = (column[:, 0] + column[:, 2] - 2 * column[:, 1]) / 3
    yy = (row[:, 0] + row[:, 2] - 2 * row[:, 1]) / 3
    xy = (patch[:, 0, 0] + patch[:, 2, 2] - patch[:, 0, 2] - patch[:, 2, 0]) / 4
    determinant = xx * yy - xy * xy
    peaked = (determinant > 1e-9) & (xx < 0)
    determinant = np.where(peaked, determinant, 1)
    dx = np.where(peaked, (xy * c - yy * b) / determinant, 0)
    dy = np.where(peaked, (xy * b - xx * c) / determinant, 0)
    return np.clip(dx, -0.5, 0.5), np.clip(dy, -0.5, 0.5)
