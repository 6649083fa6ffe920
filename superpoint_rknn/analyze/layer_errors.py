"""Errors of the layers of a quantized network against the float network, over many images."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from superpoint_rknn.analyze.range_use import RangeUse, fake_quantize
from superpoint_rknn.features.keypoints import Keypoints
from superpoint_rknn.features.quantization import Quantization

Cells = tuple[np.ndarray, np.ndarray]  # rows and columns (N,) of a feature map


@dataclass
class Deviation:
    """Deviation of approximate values from reference values, over any number of arrays."""

    dot: float = 0
    reference_square: float = 0
    other_square: float = 0
    difference_square: float = 0

    def add(self, reference: np.ndarray, other: np.ndarray) -> None:
        """Add two arrays of one shape."""
        difference = other - reference
        self.dot += float(np.vdot(reference, other))
        self.reference_square += float(np.vdot(reference, reference))
        self.other_square += float(np.vdot(other, other))
        self.difference_square += float(np.vdot(difference, difference))

    @property
    def cosine(self) -> float | None:
        """Cosine similarity of the two as vectors; None if one of them is 0."""
        norms = (self.reference_square * self.other_square) ** 0.5
        return self.dot / norms if norms else None

    @property
    def relative(self) -> float | None:
        """Relative error |other - reference| / |reference|; None if all reference values are 0."""
        if not self.reference_square:
            return None
        return (self.difference_square / self.reference_square) ** 0.5


@dataclass
class Deviations:
    """Deviation of a whole tensor, and of the cells that contain keypoints."""

    everywhere: Deviation = field(default_factory=Deviation)
    at_keypoints: Deviation = field(default_factory=Deviation)

    def add(self, reference: np.ndarray, other: np.ndarray, cells: Cells) -> None:
        """Add the tensors (C, h, w) of one image. cells: those that contain keypoints."""
        self.everywhere.add(reference, other)
        rows, cols = cells
        self.at_keypoints.add(reference[:, rows, cols], other[:, rows, cols])

    def summary(self) -> dict[str, float | None]:
        """Figures for JSON."""
        return {
            'cosine': self.everywhere.cosine,
            'relative_error': self.everywhere.relative,
            'cosine_keypoints': self.at_keypoints.cosine,
            'relative_error_keypoints': self.at_keypoints.relative,
        }


class LayerErrors:
    """
    Errors of one layer of a quantized network.

    range: use of the output's 8-bit range; None if the layer computes in float.
    accumulated: deviation of the layer's output, which includes the errors of all layers before.
    own: deviation that the layer adds on its own.
    weights, rounding: the parts of `own` that 8-bit weights and 8-bit outputs cause.
    bias: deviation of the integer bias, which is large if it was computed for another input scale.
    """

    def __init__(self, name: str, quantization: Quantization | None):
        self.name = name
        self.range = None if quantization is None else RangeUse(quantization)
        self.accumulated, self.own = Deviations(), Deviations()
        self.weights, self.rounding = Deviations(), Deviations()
        self.bias = Deviation()

    def add(
        self,
        reference: np.ndarray,
        quantized: np.ndarray,
        weights_only: np.ndarray | None,
        cells: Cells,
    ) -> np.ndarray:
        """
        Add one image, for a network whose integer weights are known; arrays (C, h, w) float32.

        reference: output in the float network. quantized: output in the quantized network.
        weights_only: output with 8-bit weights and float input; None for a layer without them.
        cells: those that contain keypoints.
        Returns the output of this layer in 8 bits for the float network's input.
        """
        self._add_accumulated(reference, quantized, cells)
        if self.range is None:
            return reference
        own = reference
        if weights_only is not None:
            self.weights.add(reference, weights_only, cells)
            own = weights_only
        own = fake_quantize(own, self.range.quantization)
        self.own.add(reference, own, cells)
        return own

    def add_single_layer(
        self,
        reference: np.ndarray,
        quantized: np.ndarray,
        single: np.ndarray,
        cells: Cells,
    ) -> None:
        """
        Add one image, for a network whose integer weights are unknown; see add.

        single: output of the float layer for its input in the quantized network.
        """
        self._add_accumulated(reference, quantized, cells)
        self.own.add(single, quantized, cells)

    def _add_accumulated(self, reference: np.ndarray, quantized: np.ndarray, cells: Cells) -> None:
        self.accumulated.add(reference, quantized, cells)
        if self.range is not None:
            self.range.add(reference)
            rounded = fake_quantize(reference, self.range.quantization)
            self.rounding.add(reference, rounded, cells)


def keypoint_cells(keypoints: Keypoints, size: tuple[int, int], cells: tuple[int, int]) -> Cells:
    """
    Cells of a feature map that contain the keypoints of a model input.

    size, cells: height and width of the model input [px] and of the feature map.
    """
    rows = (keypoints.y + 0.5) * (cells[0] / size[0])
    cols = (keypoints.x + 0.5) * (cells[1] / size[1])
    return rows.astype(np.intp), cols.astype(np.intp)
