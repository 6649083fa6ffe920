"""Decode the detector's logits to keypoints: softmax, threshold, NMS, border, top-k, sub-pixel."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from superpoint_rknn.features import CELL
from superpoint_rknn.features.subpixel import peak_shift
from superpoint_rknn.features.top_k import min_contrast, select_top_k_keypoints, sort_by_score
from superpoint_rknn.settings import ParameterGroup, parameter

PIXELS = CELL * CELL
MAX_RANK = 2**16 - 1  # of uint16
MAX_GRID = 64  # cells along each axis


@dataclass(frozen=True)
class Keypoints:
    """Keypoints, highest score first; all arrays (N,) float32."""

    x: np.ndarray  # [px]; 0 is the centre of the leftmost column
    y: np.ndarray  # [px]; 0 is the centre of the top row
    score: np.ndarray  # sum of the probabilities above the threshold of its 3x3 pixels, at most 1

    def __len__(self) -> int:
        return len(self.score)


@dataclass(frozen=True)
class DetectorSettings(ParameterGroup, prefix='detector.'):
    """
    Selection of keypoints.

    Raises ValueError for a setting outside its range.
    """

    threshold: float = parameter(
        0.015,
        'Threshold: the pixel of a keypoint has a higher detector probability. Other pixels do '
        'not count in scores.',
        limits=(0, 1),
    )
    nms_radius: int = parameter(
        4,
        'Radius of non-maximum suppression (NMS): a keypoint is the pixel of highest probability '
        'in the square window that extends this far to each side.',
        unit='px of the model input',
        limits=(0, 32),
    )
    max_keypoints: int = parameter(
        500,
        'Maximum number of keypoints per image: those of highest score (top-k).',
        limits=(1, 10000),
    )
    border: int = parameter(
        4,
        'Width of the border without keypoints.',
        unit='px of the model input',
        limits=(0, 256),
    )
    grid: tuple[int, int] = parameter(
        (1, 1),
        'Rows and columns of a grid over whose cells keypoints are spread evenly; [1, 1]: those '
        'of highest score in the whole image.',
        limits=(1, MAX_GRID),
    )
    subpixel: bool = parameter(
        True, 'Refine each keypoint by a parabola through its neighbours, up to half a pixel.'
    )
    refine: bool = parameter(
        True,
        'Refine each keypoint in the model input: move it to the corner around it, up to 3 px.',
    )


class KeypointDetector:
    """
    Decode the detector's logits to keypoints.

    Not thread-safe: `detect` reuses buffers.
    height, width: of the model input [px]. Raises ValueError if they aren't divisible by 8.
    """

    def __init__(self, height: int, width: int):
        if height < CELL or width < CELL or height % CELL or width % CELL:
            raise ValueError(f'model input: {height}x{width} is not divisible by {CELL}')
        self._size = (height, width)
        self._cells = (height // CELL, width // CELL)
        row, col = np.divmod(np.arange(self._cells[0] * self._cells[1]), self._cells[1])
        self._corner = (row * width + col) * CELL  # flat index of each cell's first pixel
        dy, dx = np.divmod(np.arange(PIXELS), CELL)
        self._step = dy * width + dx  # from a cell's first pixel to that of each channel
        self._columns, self._shares = np.empty((2, (PIXELS + 1) * row.size), np.float32)
        self._ranks, self._max_rank = np.zeros((height, width), np.uint16), 0
        self._border, self._interior = 0, np.ones((height, width), bool)
        # Probabilities of the candidates of one image, with a margin of 1 px; 0 between calls
        self._probability = np.zeros((height + 2, width + 2), np.float32)

    def detect(
        self,
        logits: np.ndarray,
        settings: DetectorSettings,
        allowed: np.ndarray | None = None,
    ) -> Keypoints:
        """
        Decode the logits of one image.

        A pixel's probability is the softmax over the 65 channels; channel 8 * dy + dx is pixel
        (dy, dx) of its 8x8 cell, channel 64 is "no point". A keypoint is a pixel with a
        probability above the threshold that no pixel within the (2 * nms_radius + 1)^2 window
        exceeds. Its score is the sum of the probabilities above the threshold of its 3x3 pixels,
        because a corner between pixels shares its probability among them. Suppressed pixels, those
        in the border and masked ones count, too.

        logits: (65, height / 8, width / 8) float32.
        allowed: (height, width) bool or uint8, no keypoints where it is 0; None: all allowed.
        Returns keypoints in pixels of the model input, highest score first, ties in row-major
        order; scores above 1 are returned as 1. Raises ValueError if an array has another shape.
        """
        if logits.shape != (PIXELS + 1, *self._cells):
            raise ValueError(f'logits: {logits.shape}, expected {(PIXELS + 1, *self._cells)}')
        if allowed is not None and allowed.shape != self._size:
            raise ValueError(f'allowed: {allowed.shape}, expected {self._size}')
        flat = np.asarray(logits, np.float32).reshape(PIXELS + 1, -1)
        candidates, probability = self._candidates(flat, settings.threshold)
        pixels = self._nms(candidates, probability, settings.nms_radius)
        pixels = self._remove_border(pixels, settings.border, allowed)
        scores = self._sum_3x3(candidates, probability, pixels)
        pixels, scores = (a[::-1] for a in sort_by_score(pixels, scores))
        selected = select_top_k_keypoints(
            pixels, settings.max_keypoints, settings.grid, self._size
        )
        pixels, scores = pixels[selected], scores[selected]
        row = pixels // self._size[1]
        x, y = (pixels - row * self._size[1]).astype(np.float32), row.astype(np.float32)
        if settings.subpixel:
            dx, dy = peak_shift(flat, pixels, self._size)
            x, y = x + dx, y + dy
        return Keypoints(x, y, np.minimum(scores, 1))

    def _candidates(self, flat: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
        """
        Softmax and threshold: return the pixels above the threshold and their probabilities.

        flat: (65, cells) logits. Returns flat indices into the image, and float32.
        """
        peak = cv2.reduce(flat[:PIXELS], 0, cv2.REDUCE_MAX)[0]
        is_candidate = peak - flat[PIXELS] > min_contrast(threshold)
        is_candidate[:2] = True  # NumPy sums a single column in another order than several
        cells = np.flatnonzero(is_candidate)
        columns, shares = (
            buffer[: flat.shape[0] * cells.size].reshape(-1, cells.size)
            for buffer in (self._columns, self._shares)
        )
        flat.take(cells, axis=1, out=columns, mode='wrap')  # 'raise' buffers, 'clip' is slower
        _softmax(columns, np.maximum(peak[cells], columns[PIXELS]), shares)
        found = np.flatnonzero(shares[:PIXELS] > np.float32(threshold))
        channel = found // cells.size
        column = found - channel * cells.size
        pixels = self._corner.take(cells).take(column)
        pixels += self._step.take(channel)
        return pixels, shares.reshape(-1).take(found)

    def _nms(self, pixels: np.ndarray, probability: np.ndarray, radius: int) -> np.ndarray:
        """
        Non-maximum suppression (NMS): keep pixels that no candidate within the radius exceeds.

        Suppressed pixels suppress others, too; of equal pixels within the radius both are kept.
        """
        if not radius or not pixels.size:
            return pixels
        pixels, probability = sort_by_score(pixels, probability)
        # Ranks have the order of the probabilities; dilating 16 bits takes half the time of 32.
        steps = np.cumsum(probability[1:] != probability[:-1])
        ranks, first = self._reserve_ranks(int(steps[-1]) + 1 if steps.size else 1)
        rank = np.empty(pixels.size, ranks.dtype)
        rank[0] = first
        np.add(steps, first, out=rank[1:], casting='unsafe')
        flat = ranks.reshape(-1)
        flat[pixels] = rank
        # In place: half the memory traffic. Later ranks exceed all values that remain.
        cv2.dilate(ranks, np.ones((2 * radius + 1,) * 2, np.uint8), ranks)
        return pixels[flat.take(pixels) == rank]

    def _reserve_ranks(self, count: int) -> tuple[np.ndarray, int]:
        """Return a map (height, width) for `count` ranks, and the first rank, above all others."""
        if count > MAX_RANK:
            return np.zeros(self._size, np.float32), 1
        if self._max_rank + count > MAX_RANK:
            self._ranks[:], self._max_rank = 0, 0
        self._max_rank += count
        return self._ranks, self._max_rank - count + 1

    def _remove_border(
        self, pixels: np.ndarray, border: int, allowed: np.ndarray | None
    ) -> np.ndarray:
        """Remove pixels in the border and pixels that are not allowed."""
        if border != self._border:
            self._border, self._interior = border, np.zeros(self._size, bool)
            height, width = self._size
            self._interior[border : height - border, border : width - border] = True
        keep = self._interior.reshape(-1).take(pixels)
        if allowed is not None:
            keep &= allowed.reshape(-1).take(pixels) != 0
        return pixels[keep]

    def _sum_3x3(
        self, candidates: np.ndarray, probability: np.ndarray, pixels: np.ndarray
    ) -> np.ndarray:
        """Sum of the candidates' probabilities in the 3x3 pixels around each pixel."""
        flat, width = self._probability.reshape(-1), self._probability.shape[1]
        places, centres = (p + 2 * (p // self._size[1]) + width + 1 for p in (candidates, pixels))
        flat[places] = probability
        rows = [
            flat.take(row - 1) + flat.take(row) + flat.take(row + 1)
            for row in (centres - width, centres, centres + width)
        ]
        flat[places] = 0
        return rows[0] + rows[1] + rows[2]


def _softmax(columns: np.ndarray, highest: np.ndarray, out: np.ndarray) -> None:
    """
    Softmax over the channels of N cells: exp(logit - highest) / sum.

    columns: (65, N) logits, overwritten. highest: (N,) their maxima.
    out: (65, N), receives the softmax.
    """
    columns -= highest
    # As exact as NumPy's exp and much faster. Not in place: there OpenCV computes the end of an
    # array differently, so that equal logits could give unequal results.
    cv2.exp(columns, out)
    out /= out.sum(0)
