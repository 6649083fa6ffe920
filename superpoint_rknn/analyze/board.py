"""Comparison of a board's outputs with those of the PC, and the likely cause if they differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from superpoint_rknn.analyze.analysis import network_outputs
from superpoint_rknn.analyze.board_record import BoardRecord
from superpoint_rknn.analyze.diagnosis import Finding
from superpoint_rknn.analyze.float_trace import FloatTrace
from superpoint_rknn.analyze.integer_trace import IntegerTrace
from superpoint_rknn.analyze.output_errors import OutputErrors, Outputs
from superpoint_rknn.network.network import Weights

AGREES = 0.98  # mean cosine similarity of the descriptors that 8 bits always reach
# Mean cosine similarity from which a mistake explains the board's outputs. A white image, whose
# descriptors are weak, reaches 0.89 in 8 bits; other causes reach 0.72.
EXPLAINS = 0.85
FLOAT, PC, BOARD = 'float', '8 bits on the PC', 'board'


@dataclass
class BoardAnalysis:
    """
    A board's outputs compared with those of the PC.

    comparisons: by the names of the reference and of the other network.
    within_one_step: share of the descriptor values that differ by at most one 8-bit step; None if
    the board's descriptors are floats.
    """

    record: BoardRecord
    comparisons: dict[tuple[str, str], OutputErrors]
    within_one_step: float | None
    findings: list[Finding]

    def summary(self) -> dict:
        """Figures for JSON."""
        return {
            'engine': self.record.engine,
            'model': self.record.model,
            'size': list(self.record.image.shape),
            'comparisons': [
                {'true': reference, 'other': other, **errors.summary()}
                for (reference, other), errors in self.comparisons.items()
            ],
            'descriptors_within_one_step': self.within_one_step,
        }


class Mistake(NamedTuple):
    """A typical mistake with the inputs or outputs of a model, and its remedy."""

    text: str
    remedy: str


def analyze_board(weights: Weights, network: IntegerTrace, record: BoardRecord) -> BoardAnalysis:
    """
    Compare a recording with the PC's float and 8-bit networks on the recorded model input.

    Raises ValueError if the 8-bit network takes model inputs of another size, or if the
    descriptors have another number of channels.
    """
    size = record.image.shape
    if network.size != size:
        raise ValueError(
            f'the recorded image is {size[0]}x{size[1]}, {network.path} takes '
            f'{network.size[0]}x{network.size[1]}: name one by --model, made with quantize '
            f'--size {size[0]}x{size[1]}'
        )
    float_network = FloatTrace(weights, network.size)
    reference = network_outputs(float_network.run(record.image)[0])
    integer = network_outputs(network.run(record.image))
    if reference.descriptors.shape != record.descriptors.shape:
        raise ValueError(
            f'the recorded descriptors have {len(record.descriptors)} channels, the float network '
            f'has {len(reference.descriptors)}'
        )
    outputs = {FLOAT: reference, PC: integer, BOARD: record.outputs}
    comparisons = {}
    for first, second in ((PC, BOARD), (FLOAT, BOARD), (FLOAT, PC)):
        errors = OutputErrors(network.size)
        errors.add('the recorded image', record.image, outputs[first], outputs[second])
        comparisons[first, second] = errors
    within = None
    if record.quantization is not None:
        difference = np.abs(record.outputs.descriptors - integer.descriptors)
        within = float((difference <= 1.01 * record.quantization.scale).mean())
    finding = _diagnose(float_network, record, reference)
    return BoardAnalysis(record, comparisons, within, [finding])


def _diagnose(float_network: FloatTrace, record: BoardRecord, reference: Outputs) -> Finding:
    similarity = _similarity(record.outputs, reference)
    if similarity >= AGREES:
        return Finding(
            'board',
            'agrees',
            f'The board computes this network: its descriptors have a mean cosine similarity of '
            f'{similarity:.4f} with the float network.',
            ('Nothing: the difference is the quantization error.',),
        )
    text = (
        "The board's descriptors have a mean cosine similarity of only "
        f'{similarity:.3f} with the float network, which quantization does not explain. '
    )
    candidates = [
        (_similarity(outputs, reference), mistake)
        for outputs, mistake in _possible_outputs(record)
    ]
    for grey, mistake in _possible_inputs(record.image):
        outputs = network_outputs(float_network.run(grey)[0])
        candidates.append((_similarity(record.outputs, outputs), mistake))
    best, mistake = max(candidates)
    if best > EXPLAINS and best > similarity:
        text += f'A likely cause: {mistake.text} (cosine similarity {best:.3f}).'
        return Finding('board', 'input', text, (mistake.remedy,))
    return Finding(
        'board',
        'input',
        f'{text}No known mistake with the input or the layout explains it.',
        (
            'Check that the board ran a model made from these weights.',
            'If the comparison with --simulator is poor, too, calibrate again.',
        ),
    )


def _possible_inputs(grey: np.ndarray) -> Iterator[tuple[np.ndarray, Mistake]]:
    """Model inputs that typical mistakes produce from an image (H, W) uint8."""
    normalize = 'Set input.mean and input.std as at the conversion (mean 0, std 1 for ours).'
    # An 8-bit input with scale 1 holds integers.
    yield (
        np.rint(grey / np.float32(255)),
        Mistake('the image was divided by 255 twice', normalize),
    )
    yield (
        np.where(grey > 0, np.uint8(255), np.uint8(0)),
        Mistake('all but black was clipped', normalize),
    )
    centred = np.rint((grey - np.float32(127.5)) / np.float32(127.5))
    yield (
        np.maximum(centred, 0),
        Mistake('the image was normalized to -1..1 by mean and std 127.5', normalize),
    )
    yield (
        grey ^ np.uint8(0x80),
        Mistake(
            'the top bit of the bytes was flipped',
            'uint8 bytes were given to an int8 input, or the reverse: leave input.pass_through '
            'at auto, which creates an input table.',
        ),
    )
    yield (
        np.ascontiguousarray(grey.T).reshape(grey.shape),
        Mistake(
            'rows and columns of the image were swapped',
            'Convert the model for HxW, and pass the image row by row.',
        ),
    )


def _possible_outputs(record: BoardRecord) -> Iterator[tuple[Outputs, Mistake]]:
    """The board's outputs, each corrected for a typical mistake."""
    outputs = record.outputs

    def from_nhwc(values: np.ndarray) -> np.ndarray:
        channels, *cells = values.shape
        return np.ascontiguousarray(values.reshape(*cells, channels).transpose(2, 0, 1))

    yield (
        Outputs(from_nhwc(outputs.logits), from_nhwc(outputs.descriptors)),
        Mistake(
            'the outputs are NHWC and were read as NCHW',
            'Convert the model with NCHW outputs, or request that format.',
        ),
    )
    if record.quantization is not None:
        flipped = record.descriptors.view(np.uint8) ^ np.uint8(0x80)
        raw = flipped.view(record.descriptors.dtype)
        yield (
            Outputs(outputs.logits, record.quantization.dequantize(raw)),
            Mistake(
                'uint8 and int8 were mixed up in the descriptors',
                "Check the type and the zero point in the recording's report.json.",
            ),
        )


def _similarity(outputs: Outputs, others: Outputs) -> float:
    """Mean cosine similarity of the descriptors of all cells."""
    first, second = outputs.descriptors, others.descriptors
    norms = np.linalg.norm(first, axis=0) * np.linalg.norm(second, axis=0)
    dots = np.einsum('chw,chw->hw', first, second)
    return float((dots / np.maximum(norms, np.finfo(np.float32).tiny)).mean())
