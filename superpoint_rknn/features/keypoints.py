"""Detector logits -> keypoints."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from superpoint_rknn.features.score_bounds import highest_score, least_contrast
from superpoint_rknn.features.subpixel import peak_shift
from superpoint_rknn.features.top_k import kth_largest, spread, weakest_first

CELL = 8  # [px] side of the square that one column of logits describes
PIXELS = CELL * CELL
# Cells to look into per keypoint wanted: the strongest 500 keypoints of real images lie in 1.6 to
# 2.4 times as many cells of highest contrast, and in 1.0 to 1.4 times as many of highest score.
CELLS_TO_SCORE = 2.5
CELLS_TO_SEARCH = 1.6
# The weakest keypoint's score rarely falls further than this from one image to the next.
STEADY = 0.9
MOST_RANKS = 2**16 - 1  # that 16 bits hold beside 0
MOST_PARTS = 64  # of the grid, along each axis


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
        if not 0 <= self.threshold <= 1:
            raise ValueError(f'threshold: {self.threshold}, expected 0 to 1')
        for name, least in (('nms_radius', 0), ('max_keypoints', 1), ('border', 0)):
            value = getattr(self, name)
            if not isinstance(value, (int, np.integer)) or value < least:
                raise ValueError(f'{name}: {value}, expected a whole number, at least {least}')
        if len(self.grid) != 2 or not 1 <= min(self.grid) <= max(self.grid) <= MOST_PARTS:
            raise ValueError(
                f'grid: {self.grid}, expected rows and columns, 1 to {MOST_PARTS} each'
            )
        object.__setattr__(self, 'grid', tuple(self.grid))


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
        row, col = np.divmod(np.arange(self._cells[0] * self._cells[1]), self._cells[1])
        self._corner = (row * width + col) * CELL  # flat index of each cell's first pixel
        dy, dx = np.divmod(np.arange(PIXELS), CELL)
        self._step = dy * width + dx  # from a cell's first pixel to that of each channel
        self._columns, self._powers = np.empty((2, (PIXELS + 1) * row.size), np.float32)
        self._ranks, self._highest_rank = np.zeros((height, width), np.uint16), 0
        self._border, self._interior = 0, np.ones((height, width), bool)
        self._expected = 0.0  # what the weakest of enough keypoints most likely exceeds

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
        flat = np.asarray(logits, np.float32).reshape(PIXELS + 1, -1)
        peak = cv2.reduce(flat[:PIXELS], 0, cv2.REDUCE_MAX)[0]
        # What is weaker than the weakest point to keep has no part in the outcome. A guess at
        # that one's score saves most of the work; with too few points above it, guess lower.
        wanted, expected = settings.max_keypoints, self._expected
        if settings.grid != (1, 1):
            wanted, expected = flat.size, settings.threshold
        if allowed is not None:
            wanted *= allowed.size / max(np.count_nonzero(allowed), 1)
        while True:
            pixels, scores, cut = self._candidates(
                flat, peak, settings.threshold, wanted, expected
            )
            pixels, scores = self._local_maxima(pixels, scores, settings.nms_radius)
            pixels, scores = self._inside(pixels, scores, settings.border, allowed)
            if len(pixels) >= settings.max_keypoints or cut == settings.threshold:
                break
            wanted, expected = 4 * wanted, settings.threshold
        chosen = spread(pixels, settings.max_keypoints, settings.grid, self._size)
        pixels, scores = pixels[chosen], scores[chosen]
        enough = len(pixels) == settings.max_keypoints
        self._expected = max(settings.threshold, STEADY * float(scores[-1]) if enough else 0.0)
        row = pixels // self._size[1]
        x, y = (pixels - row * self._size[1]).astype(np.float32), row.astype(np.float32)
        if settings.subpixel:
            dx, dy = peak_shift(flat, pixels, self._size)
            x, y = x + dx, y + dy
        return Keypoints(x, y, scores)

    def _candidates(
        self, flat: np.ndarray, peak: np.ndarray, threshold: float, wanted: float, expected: float
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """
        All pixels (flat indices) with a score above a cut, their scores, and the cut.

        peak: (cells,) strongest logit of each cell's pixels.
        wanted: keypoints that the cut, at or above the threshold, shall leave.
        expected: a guess at the cut; the threshold, if those above it are most likely few.
        """
        contrast = peak - flat[PIXELS]
        cut, promising = expected, contrast > least_contrast(expected)
        likely = np.count_nonzero(promising)
        if (
            expected < threshold
            or (expected > threshold and likely < CELLS_TO_SEARCH * wanted)
            or likely > CELLS_TO_SCORE * wanted
        ):
            best = kth_largest(contrast, CELLS_TO_SCORE * wanted)
            cut = _raised(threshold, highest_score(best))
            promising = contrast > least_contrast(cut)
        promising[:2] = True  # NumPy adds up a single column in another order than several
        cells = np.flatnonzero(promising)
        columns, share = (
            buffer[: flat.shape[0] * cells.size].reshape(-1, cells.size)
            for buffer in (self._columns, self._powers)
        )
        flat.take(cells, axis=1, out=columns, mode='wrap')  # 'raise' buffers, 'clip' takes longer
        peak = peak[cells]
        highest = np.maximum(peak, columns[PIXELS])
        columns -= highest
        # As exact as NumPy's and far quicker. Not in place, where OpenCV computes the end of an
        # array in another way, so that equal logits might differ.
        cv2.exp(columns, share)
        total = share.sum(0)
        if cut != expected:
            strongest = np.exp(peak - highest) / total
            cut = max(cut, _raised(threshold, kth_largest(strongest, CELLS_TO_SEARCH * wanted)))
        share /= total
        found = np.flatnonzero(share[:PIXELS] > np.float32(cut))
        channel = found // cells.size
        column = found - channel * cells.size
        pixels = self._corner.take(cells).take(column)
        pixels += self._step.take(channel)
        return pixels, share.reshape(-1).take(found), cut

    def _local_maxima(
        self, pixels: np.ndarray, scores: np.ndarray, radius: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pixels that none within the radius exceeds, strongest first, ties in row-major order."""
        pixels, scores = weakest_first(pixels, scores)
        if radius and pixels.size:
            # Ranks order as the scores do, and 16 bits dilate in half the time.
            steps = np.cumsum(scores[1:] != scores[:-1])
            ranks, first = self._room_for(int(steps[-1]) + 1 if steps.size else 1)
            rank = np.empty(pixels.size, ranks.dtype)
            rank[0] = first
            np.add(steps, first, out=rank[1:], casting='unsafe')
            flat = ranks.reshape(-1)
            flat[pixels] = rank
            # In place: half the memory to go through. What it leaves is below all later ranks.
            cv2.dilate(ranks, np.ones((2 * radius + 1,) * 2, np.uint8), ranks)
            kept = np.flatnonzero(flat.take(pixels) == rank)
            pixels, scores = pixels.take(kept), scores.take(kept)
        return pixels[::-1], scores[::-1]

    def _room_for(self, count: int) -> tuple[np.ndarray, int]:
        """A map for `count` ranks, and the first of them: above all that the map holds."""
        if count > MOST_RANKS:
            return np.zeros(self._size, np.float32), 1
        if self._highest_rank + count > MOST_RANKS:
            self._ranks[:], self._highest_rank = 0, 0
        self._highest_rank += count
        return self._ranks, self._highest_rank - count + 1

    def _inside(
        self, pixels: np.ndarray, scores: np.ndarray, border: int, allowed: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pixels that keep the distance from the image's edge and are allowed."""
        if border != self._border:
            self._border, self._interior = border, np.zeros(self._size, bool)
            height, width = self._size
            self._interior[border : height - border, border : width - border] = True
        keep = self._interior.reshape(-1).take(pixels)
        if allowed is not None:
            keep &= allowed.reshape(-1).take(pixels) != 0
        return pixels[keep], scores[keep]


def _raised(threshold: float, guess: float) -> float:
    """The guess, where it is so far above the threshold that it saves more than it risks."""
    return guess if guess > 1.2 * threshold else threshold
