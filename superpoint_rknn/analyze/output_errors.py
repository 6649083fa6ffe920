"""Differences between the keypoints and descriptors of two networks, over many images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from superpoint_rknn.analyze.layer_errors import Deviation, keypoint_cells
from superpoint_rknn.features import CELL
from superpoint_rknn.features.descriptors import DescriptorSampler
from superpoint_rknn.features.keypoints import DetectorSettings, KeypointDetector, Keypoints

STRONGEST = DetectorSettings(threshold=0.0005)  # 500 keypoints in nearly every image
NEAR = 1.0  # [px]


@dataclass(frozen=True)
class Outputs:
    """Outputs of a network for one image, dequantized."""

    logits: np.ndarray  # (65, H/8, W/8) float32
    descriptors: np.ndarray  # (C, H/8, W/8) float32, before L2 normalization


@dataclass(frozen=True)
class Comparison:
    """Results of two networks for one image, to be shown in a report."""

    name: str
    grey: np.ndarray  # (H, W) uint8, the model input
    heat: tuple[np.ndarray, np.ndarray]  # detector probability, (H, W) float32
    keypoints: tuple[Keypoints, Keypoints]  # [px] of the model input


class OutputErrors:
    """
    Differences between the outputs of a reference network and of another network.

    comparisons: the results for the first images.
    logits, descriptors: deviation of the outputs in the cells that contain keypoints.
    """

    def __init__(self, size: tuple[int, int], shown: int = 3):
        """
        Start with no images.

        size: height and width of the model input [px]. shown: number of comparisons to keep.
        """
        self._size = size
        self._detector = KeypointDetector(*size)
        self._shown = shown
        self.comparisons: list[Comparison] = []
        self.logits, self.descriptors = Deviation(), Deviation()
        self._cosines: list[np.ndarray] = []
        self._distances: list[np.ndarray] = []

    def keypoints(self, logits: np.ndarray) -> Keypoints:
        """Detect the strongest keypoints."""
        return self._detector.detect(logits, STRONGEST)

    def add(self, name: str, grey: np.ndarray, reference: Outputs, other: Outputs) -> None:
        """Add the outputs of the two networks for an image."""
        keypoints = self.keypoints(reference.logits), self.keypoints(other.logits)
        points = keypoints[0]
        channels, *cells = reference.descriptors.shape
        sampler = DescriptorSampler(channels, *cells)
        first, second = (
            sampler.sample_descriptors(
                np.ascontiguousarray(outputs.descriptors), points.x, points.y
            )
            for outputs in (reference, other)
        )
        self._cosines.append(np.einsum('nc,nc->n', first, second))
        self._distances.append(nearest_distance(*keypoints))
        rows, cols = keypoint_cells(points, self._size, (cells[0], cells[1]))
        self.logits.add(reference.logits[:, rows, cols], other.logits[:, rows, cols])
        self.descriptors.add(
            reference.descriptors[:, rows, cols], other.descriptors[:, rows, cols]
        )
        if len(self.comparisons) < self._shown:
            heat = heat_map(reference.logits), heat_map(other.logits)
            self.comparisons.append(Comparison(name, grey.copy(), heat, keypoints))

    @property
    def images(self) -> int:
        """Number of images."""
        return len(self._distances)

    @property
    def cosines(self) -> np.ndarray:
        """Cosine similarity of the two descriptors of each keypoint, (N,) float32."""
        return np.concatenate([np.empty(0, np.float32), *self._cosines])

    def summary(self) -> dict[str, float | int | None]:
        """Figures for JSON; None if there are no keypoints."""
        cosines = self.cosines
        distances = np.concatenate([np.empty(0), *self._distances])
        some = bool(cosines.size)
        return {
            'keypoints': cosines.size,
            'keypoints_within_1px': float((distances <= NEAR).mean()) if some else None,
            'descriptor_cosine_mean': float(cosines.mean()) if some else None,
            'descriptor_cosine_p5': float(np.percentile(cosines, 5)) if some else None,
            'logits_cosine': self.logits.cosine,
            'logits_relative_error': self.logits.relative,
            'descriptors_relative_error': self.descriptors.relative,
        }


def nearest_distance(points: Keypoints, others: Keypoints) -> np.ndarray:
    """Distance [px] from each point to the nearest of the others, (N,); inf without others."""
    if not len(others):
        return np.full(len(points), np.inf)
    dx = points.x[:, None] - others.x
    dy = points.y[:, None] - others.y
    return np.sqrt((dx * dx + dy * dy).min(1))


def heat_map(logits: np.ndarray) -> np.ndarray:
    """Detector probability of each pixel, (H, W) float32: softmax of logits (65, H/8, W/8)."""
    share = np.exp(logits - logits.max(0))
    share = share[:-1] / share.sum(0)
    _, rows, cols = share.shape
    cells = share.reshape(CELL, CELL, rows, cols)
    return cells.transpose(2, 0, 3, 1).reshape(rows * CELL, cols * CELL)
