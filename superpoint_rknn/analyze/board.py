"""A board's outputs against the PC's, and guesses at what went wrong if they disagree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from superpoint_rknn.analyze.advice import Finding
from superpoint_rknn.analyze.analysis import network_outputs
from superpoint_rknn.analyze.board_record import BoardRecord
from superpoint_rknn.analyze.layer_trace import FloatTrace, IntegerTrace
from superpoint_rknn.analyze.output_errors import OutputErrors, Outputs
from superpoint_rknn.network.network import Weights

AGREES = 0.98  # mean cosine of descriptors: 8 bits alone cost less than this
SIMILAR = 0.9  # of a guess that explains what the board gave
WHITE = 255


@dataclass
class BoardAnalysis:
    """A board's outputs compared; the first of two names is what counts as true."""

    record: BoardRecord
    comparisons: dict[tuple[str, str], OutputErrors]
    within_one_step: float | None  # share of descriptor values that differ by at most one step
    findings: list[Finding] = field(default_factory=list)

    def summary(self) -> dict:
        """The figures, for JSON."""
        return {
            'engine': self.record.engine,
            'model': self.record.model,
            'size': list(self.record.image.shape),
            'comparisons': [
                {'true': true, 'other': other, **errors.summary()}
                for (true, other), errors in self.comparisons.items()
            ],
            'descriptors_within_one_step': self.within_one_step,
        }


def analyse_board(weights: Weights, network: IntegerTrace, record: BoardRecord) -> BoardAnalysis:
    """
    Compare a recording with the PC's float and 8-bit networks on the very image recorded.

    Raises ValueError if the 8-bit network takes images of another size.
    """
    size = record.image.shape
    if network.size != size:
        raise ValueError(
            f'the recorded image is {size[0]}x{size[1]}, {network.path} takes '
            f'{network.size[0]}x{network.size[1]}: name one by --model, made with quantize '
            f'--size {size[0]}x{size[1]}'
        )
    floating = FloatTrace(weights, size)
    true = network_outputs(floating.run(record.image)[0])
    integer = network_outputs(network.run(record.image))
    if true.descriptors.shape != record.descriptors.shape:
        raise ValueError(
            f'the recorded descriptors have {len(record.descriptors)} channels, the float network '
            f'{len(true.descriptors)}'
        )
    outputs = {'float': true, '8 bits on the PC': integer, 'board': record.outputs}
    comparisons = {}
    for first, second in (
        ('8 bits on the PC', 'board'),
        ('float', 'board'),
        ('float', '8 bits on the PC'),
    ):
        errors = OutputErrors(size)
        errors.add('the recorded image', record.image, outputs[first], outputs[second])
        comparisons[first, second] = errors
    step = 0.0 if record.quantization is None else record.quantization.scale
    near = np.abs(record.outputs.descriptors - integer.descriptors) <= 1.01 * step
    within = float(near.mean()) if step else None
    return BoardAnalysis(record, comparisons, within, list(_judge(floating, record, true)))


def _judge(floating: FloatTrace, record: BoardRecord, true: Outputs) -> Iterator[Finding]:
    similarity = _similarity(record.outputs, true)
    if similarity >= AGREES:
        yield Finding(
            'board',
            'agrees',
            f'The board computes this network: its descriptors have a mean cosine of '
            f'{similarity:.4f} with the float network.',
            ('Nothing; what is left is the error of 8 bits.',),
        )
        return
    text = (
        f"The board's descriptors have a mean cosine of only {similarity:.3f} with the float "
        'network, far less than 8 bits explain. '
    )
    guesses = [(_similarity(outputs, true), *why) for outputs, *why in _other_readings(record)]
    for grey, *why in _other_inputs(record.image):
        values, _ = floating.run(grey)
        guesses.append((_similarity(record.outputs, network_outputs(values)), *why))
    best, what, advice = max(guesses)
    if best > SIMILAR and best > similarity:
        yield Finding(
            'board', 'input', f'{text}It is as if {what} (cosine {best:.3f}).', (advice,)
        )
        return
    yield Finding(
        'board',
        'input',
        f'{text}No known mistake with the input or the layout explains it.',
        (
            'Check that the board ran the network made from these weights.',
            'If the float comparison is poor and --simulator is too, calibrate anew.',
        ),
    )


def _other_inputs(grey: np.ndarray) -> Iterator[tuple[np.ndarray, str, str]]:
    """What the network is given by typical mistakes, in words, and the remedy."""
    normalise = 'Set input.mean and input.std as at the conversion (mean 0, std 1 for ours).'
    # 8 bits hold whole grey values.
    yield np.rint(grey / np.float32(255)), 'the image was divided by 255 twice', normalise
    yield np.where(grey > 0, np.uint8(WHITE), np.uint8(0)), 'all but black was clipped', normalise
    centred = np.rint((grey - np.float32(127.5)) / np.float32(127.5))
    yield np.maximum(centred, 0), 'the image was brought to -1..1 by mean and std 127.5', normalise
    yield (
        grey ^ np.uint8(0x80),
        'the top bit of the bytes was flipped',
        'uint8 bytes were given to an int8 input, or the reverse: leave input.pass_through at '
        'auto, so that a table is made.',
    )
    yield (
        np.ascontiguousarray(grey.T).reshape(grey.shape),
        'rows and columns of the image were swapped',
        'Convert the model for HxW, and give it the image row by row.',
    )


def _other_readings(record: BoardRecord) -> Iterator[tuple[Outputs, str, str]]:
    """The board's outputs as typical mistakes would have made them, in words, and the remedy."""
    outputs = record.outputs

    def from_nhwc(values: np.ndarray) -> np.ndarray:
        channels, *cells = values.shape
        return np.ascontiguousarray(values.reshape(*cells, channels).transpose(2, 0, 1))

    yield (
        Outputs(from_nhwc(outputs.logits), from_nhwc(outputs.descriptors)),
        'the outputs are NHWC and were read as NCHW',
        'Convert the model with NCHW outputs, or ask for that format.',
    )
    if record.quantization is not None:
        flipped = record.descriptors.view(np.uint8) ^ np.uint8(0x80)
        raw = flipped.view(record.descriptors.dtype)
        yield (
            Outputs(outputs.logits, record.quantization.dequantize(raw)),
            'uint8 and int8 were mixed up in the descriptors',
            "Check the type and zero point in the recorder's report.json.",
        )


def _similarity(outputs: Outputs, others: Outputs) -> float:
    """Mean cosine between the descriptors of all cells."""
    first, second = outputs.descriptors, others.descriptors
    norms = np.linalg.norm(first, axis=0) * np.linalg.norm(second, axis=0)
    dots = np.einsum('chw,chw->hw', first, second)
    return float((dots / np.maximum(norms, np.finfo(np.float32).tiny)).mean())
