"""How far a quantised network strays from the float one, layer by layer, over many images."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from superpoint_rknn.features.keypoints import Keypoints
from superpoint_rknn.features.quantization import Quantization

SAMPLES = 20_000  # values of a tensor, per image, that the ranges are judged by
TYPICAL = (0.1, 99.9)  # [percent] between these percentiles lies what is called typical
# Ranges to try, as shares of the widest one, when looking for the best.
SHRINKS = np.geomspace(1, 0.02, 24)


@dataclass
class Deviation:
    """Of an approximation from the true values, summed over any number of arrays."""

    dot: float = 0
    true_square: float = 0
    other_square: float = 0
    difference_square: float = 0

    def add(self, true: np.ndarray, other: np.ndarray) -> None:
        """Take two arrays of one shape into account."""
        difference = other - true
        self.dot += float(np.vdot(true, other))
        self.true_square += float(np.vdot(true, true))
        self.other_square += float(np.vdot(other, other))
        self.difference_square += float(np.vdot(difference, difference))

    @property
    def cosine(self) -> float | None:
        """Cosine between the two as vectors; None before any value that isn't 0."""
        norms = (self.true_square * self.other_square) ** 0.5
        return self.dot / norms if norms else None

    @property
    def relative(self) -> float | None:
        """|other - true| / |true|; None before any true value that isn't 0."""
        if not self.true_square:
            return None
        return (self.difference_square / self.true_square) ** 0.5


@dataclass
class Deviations:
    """Deviation over a whole tensor, and in the cells of the keypoints alone."""

    everywhere: Deviation = field(default_factory=Deviation)
    at_keypoints: Deviation = field(default_factory=Deviation)

    def add(self, true: np.ndarray, other: np.ndarray, cells: tuple[np.ndarray, ...]) -> None:
        """Take an image's tensors (C, h, w) into account; cells: rows and columns."""
        self.everywhere.add(true, other)
        rows, cols = cells
        self.at_keypoints.add(true[:, rows, cols], other[:, rows, cols])

    def summary(self) -> dict[str, float | None]:
        """The figures, for JSON."""
        return {
            'cosine': self.everywhere.cosine,
            'relative_error': self.everywhere.relative,
            'cosine_keypoints': self.at_keypoints.cosine,
            'relative_error_keypoints': self.at_keypoints.relative,
        }


class LayerErrors:
    """
    Errors of one layer of a quantised network.

    accumulated: of the layer's output as it is, with all that went wrong before.
    own: of the layer by itself, given the float network's input, or compared with what the float
    layer makes of the quantised network's input.
    weights, rounding: the parts of `own` that are due to 8-bit weights, and to the output's range.
    """

    def __init__(self, name: str, quantization: Quantization | None):
        self.name = name
        self.quantization = quantization
        self.accumulated, self.own = Deviations(), Deviations()
        self.weights, self.rounding = Deviations(), Deviations()
        self.bias = Deviation()  # of the integer bias: large if it was made for another range
        self._samples: list[np.ndarray] = []
        self._saturated = self._values = 0

    def add(
        self,
        true: np.ndarray,
        quantised: np.ndarray,
        alone: np.ndarray | None,
        cells: tuple[np.ndarray, ...],
    ) -> np.ndarray:
        """
        Take an image into account; arrays are (C, h, w) float32.

        true: of the float network. quantised: of the quantised one.
        alone: with 8-bit weights on the float network's input; None where the layer has none.
        cells: the keypoints' rows and columns.
        Returns the layer's output by itself, rounded to its 8 bits.
        """
        rounded = self._add_common(true, quantised, cells)
        if rounded is None:
            return true
        if alone is None:
            self.own.add(true, rounded, cells)
            return rounded
        self.weights.add(true, alone, cells)
        own = fake_quantise(alone, self.quantization)
        self.own.add(true, own, cells)
        return own

    def add_step(
        self,
        true: np.ndarray,
        quantised: np.ndarray,
        step: np.ndarray,
        cells: tuple[np.ndarray, ...],
    ) -> None:
        """
        Take an image into account where the integer weights are unknown.

        step: what the float layer makes of the quantised network's input. See add.
        """
        self._add_common(true, quantised, cells)
        self.own.add(step, quantised, cells)

    def _add_common(
        self, true: np.ndarray, quantised: np.ndarray, cells: tuple[np.ndarray, ...]
    ) -> np.ndarray | None:
        """The true values rounded to the layer's 8 bits, if it has 8 bits."""
        self.accumulated.add(true, quantised, cells)
        if self.quantization is None:
            return None
        self._add_range(true)
        rounded = fake_quantise(true, self.quantization)
        self.rounding.add(true, rounded, cells)
        return rounded

    def _add_range(self, true: np.ndarray) -> None:
        lowest, highest = limits(self.quantization)
        half = self.quantization.scale / 2  # what is rounded, not clipped
        outside = (true < lowest - half) | (true > highest + half)
        self._saturated += int(np.count_nonzero(outside))
        self._values += true.size
        flat = true.reshape(-1)
        self._samples.append(flat[:: max(1, flat.size // SAMPLES) | 1].copy())

    @property
    def saturated(self) -> float | None:
        """Share of the float values that lie outside of the range."""
        return self._saturated / self._values if self._values else None

    @property
    def typical(self) -> tuple[float, float] | None:
        """Between which values 99.8 percent of the float values lie."""
        if not self._samples:
            return None
        low, high = np.percentile(np.concatenate(self._samples), TYPICAL)
        return float(low), float(high)

    @property
    def steps_used(self) -> float | None:
        """Share of the 8 bits' 256 steps that typical values make use of."""
        if self.typical is None:
            return None
        lowest, highest = limits(self.quantization)
        low, high = np.clip(self.typical, lowest, highest)
        return float((high - low) / (highest - lowest))

    def best_range(self) -> tuple[float, float, float] | None:
        """
        Range with the least rounding error for the values seen, and that relative error.

        Looked for among narrower and narrower parts of the widest range, so it is a good one,
        not the very best. None before any value that isn't 0.
        """
        if not self._samples or not any(sample.any() for sample in self._samples):
            return None
        values = np.concatenate(self._samples)
        low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
        tried = [
            (squared_error(values, range_quantization(low * share, high * share)), share)
            for share in SHRINKS
        ]
        error, share = min(tried)
        total = float(np.vdot(values, values))
        return low * share, high * share, (error / total) ** 0.5


def limits(quantization: Quantization) -> tuple[float, float]:
    """Least and greatest real number that the integers can stand for."""
    ends = np.iinfo(quantization.dtype)
    low, high = quantization.dequantize(np.array([ends.min, ends.max], quantization.dtype))
    return float(low), float(high)


def range_quantization(low: float, high: float) -> Quantization:
    """Quantisation in uint8 of the numbers from low <= 0 to high >= 0, low < high."""
    scale = (high - low) / 255
    return Quantization(scale, round(-low / scale), np.uint8)


def fake_quantise(values: np.ndarray, quantization: Quantization) -> np.ndarray:
    """Round to what the 8 bits can stand for: quantised and dequantised, float32."""
    ends = np.iinfo(quantization.dtype)
    scale, zero_point = np.float32(quantization.scale), quantization.zero_point
    rounded = values / scale
    np.rint(rounded, out=rounded)
    np.clip(rounded, ends.min - zero_point, ends.max - zero_point, out=rounded)
    rounded *= scale
    return rounded


def squared_error(values: np.ndarray, quantization: Quantization) -> float:
    """Sum of the squares of the rounding errors."""
    difference = fake_quantise(values, quantization) - values
    return float(np.vdot(difference, difference))


def keypoint_cells(
    keypoints: Keypoints, size: tuple[int, int], cells: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns (N,) of a map of `cells` that keypoints of an image of `size` lie in."""
    rows = (keypoints.y + 0.5) * (cells[0] / size[0])
    cols = (keypoints.x + 0.5) * (cells[1] / size[1])
    return rows.astype(np.intp), cols.astype(np.intp)
