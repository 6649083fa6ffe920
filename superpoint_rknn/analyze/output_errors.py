"""How far a network's keypoints and descriptors are from those of the float network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from superpoint_rknn.analyze.layer_errors import Deviation, keypoint_cells
from superpoint_rknn.features import CELL
from superpoint_rknn.features.descriptors import DescriptorSampler
from superpoint_rknn.features.keypoints import DetectorSettings, KeypointDetector, Keypoints

STRONGEST = DetectorSettings(threshold=0.0005)  # 500 points on nearly every picture
NEAR = 1.0  # [px]


@dataclass(frozen=True)
class Outputs:
    """What a network gave for an image, as real numbers."""

    logits: np.ndarray  # (65, H/8, W/8) float32
    descriptors: np.ndarray  # (C, H/8, W/8) float32, before L2 normalisation


@dataclass(frozen=True)
class Comparison:
    """Two networks' results for one image."""

    name: str
    grey: np.ndarray  # (H, W) uint8, the network's image
    heat: tuple[np.ndarray, np.ndarray]  # detector probability, (H, W) float32
    keypoints: tuple[Keypoints, Keypoints]  # [px] in the network's image
    cosines: np.ndarray  # (N,) between the descriptors at the first network's keypoints


class OutputErrors:
    """Compares two networks' outputs, image by image: what is true, and another."""

    def __init__(self, size: tuple[int, int], pictures: int = 3):
        """size: of the network image [px]. pictures: how many images to keep, for a report."""
        self._size = size
        self._detector = KeypointDetector(*size)
        self._pictures = pictures
        self.comparisons: list[Comparison] = []
        self.logits, self.descriptors = Deviation(), Deviation()  # at the keypoints' cells
        self._cosines: list[np.ndarray] = []
        self._distances: list[np.ndarray] = []

    def keypoints(self, logits: np.ndarray) -> Keypoints:
        """The strongest points of an image."""
        return self._detector.detect(logits, STRONGEST)

    def add(self, name: str, grey: np.ndarray, true: Outputs, other: Outputs) -> None:
        """Compare the two networks' outputs for an image."""
        keypoints = self.keypoints(true.logits), self.keypoints(other.logits)
        points = keypoints[0]
        channels, *cells = true.descriptors.shape
        sampler = DescriptorSampler(channels, *cells)
        first, second = (
            sampler.sample_descriptors(
                np.ascontiguousarray(outputs.descriptors), points.x, points.y
            )
            for outputs in (true, other)
        )
        cosines = np.einsum('nc,nc->n', first, second)
        self._cosines.append(cosines)
        self._distances.append(nearest_distance(*keypoints))
        rows, cols = keypoint_cells(points, self._size, tuple(cells))
        self.logits.add(true.logits[:, rows, cols], other.logits[:, rows, cols])
        self.descriptors.add(true.descriptors[:, rows, cols], other.descriptors[:, rows, cols])
        if len(self.comparisons) < self._pictures:
            heat = heat_map(true.logits), heat_map(other.logits)
            self.comparisons.append(Comparison(name, grey.copy(), heat, keypoints, cosines))

    @property
    def images(self) -> int:
        """How many images were compared."""
        return len(self._distances)

    @property
    def cosines(self) -> np.ndarray:
        """Cosines between the two networks' unit descriptors at all keypoints, (N,)."""
        return np.concatenate([np.empty(0, np.float32), *self._cosines])

    def summary(self) -> dict[str, float | int | None]:
        """The figures, for JSON; None where there are no keypoints."""
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
    """Detector probability of each pixel, (H, W) float32, of logits (65, H/8, W/8)."""
    share = np.exp(logits - logits.max(0))
    share = share[:-1] / share.sum(0)
    _, rows, cols = share.shape
    cells = share.reshape(CELL, CELL, rows, cols)
    return cells.transpose(2, 0, 3, 1).reshape(rows * CELL, cols * CELL)
