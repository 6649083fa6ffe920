"""Findings about a quantized network: the worst layer, the cause, and what to try."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from superpoint_rknn.analyze.analysis import DESCRIPTOR_LAYER, LOGIT_LAYER, Analysis
from superpoint_rknn.analyze.layer_errors import LayerErrors
from superpoint_rknn.analyze.range_use import Range, RangeUse, limits
from superpoint_rknn.network.network import IMAGE, LAYERS

RANGE_FAULT = 2.0  # rounding error of a wrong range, in multiples of that of a good range
NEGLIGIBLE = 0.01  # relative rounding error that is accepted with any range
CLIPPED = 1e-3  # share of values outside of the range that exceeds rare outliers
BIAS_FAULT = 0.01  # relative error; rounding a bias to int32 causes about 1e-5
SMALL = 0.03  # relative error at the keypoints that a layer may add
FEW_IMAGES = 5  # with fewer images a range may look wrong by chance


@dataclass(frozen=True)
class Finding:
    """An observation about a layer, and what to try."""

    layer: str
    kind: str  # clipped, wasted, input, bias, weights, rounding or agrees
    text: str
    advice: tuple[str, ...]  # empty if an earlier finding has the same advice


COMPARE_ADVICE = 'Compare the conversion with that of `superpoint_rknn convert`.'
CLIPPED_ADVICE = (
    'Calibrate with more images, also bright, dark and detailed ones of your own camera '
    '(quantize --images ...).',
    'If the ranges were computed from percentiles, use a higher --percentile or --ranges minmax.',
    'Leave this layer in float16 (hybrid quantization).',
)
WASTED_ADVICE = (
    'Rare outliers widen the range: exclude them by quantize --ranges percentile (--percentile '
    '99.99, then 99.9).',
    'Remove unusual calibration images (blank, overexposed, noise).',
    'Leave this layer in float16 (hybrid quantization).',
)
INPUT_ADVICE = (
    'Calibrate with grey values from 0 to 255: keep the ramp (quantize without --no-ramp), and '
    'check mean and std of the conversion.'
)
PER_CHANNEL_ADVICE = (
    'Use per-channel scales for the weights (quantized_method channel) if the NPU supports them.'
)


def diagnose(analysis: Analysis) -> list[Finding]:
    """Findings about a network, the worst layer first; empty if no layer is quantized."""
    worst = worst_layer(analysis)
    if worst is None:
        return []
    others = sorted(
        (name for name, e in analysis.layers.items() if name != worst and wrong_range(e)),
        key=lambda name: -own_error(analysis.layers[name]),
    )
    first = [_judge_layer(name, analysis) for name in (worst, *others)]
    found = [*first, *_judge_biases(analysis)]
    if not any(finding.layer == IMAGE for finding in first):
        found += _judge_input(analysis)
    return [_without_repeated_advice(finding, found[:i]) for i, finding in enumerate(found)]


def worst_layer(analysis: Analysis) -> str | None:
    """
    Layer with the largest own error at the keypoints; None if no layer has one.

    Only layers with a wrong range are considered if there are any.
    """
    errors = {name: own_error(layer) for name, layer in analysis.layers.items()}
    wrong = [name for name, layer in analysis.layers.items() if wrong_range(layer)]
    candidates = wrong or [name for name, error in errors.items() if error]
    return max(candidates, key=lambda name: errors[name], default=None)


def own_error(layer: LayerErrors) -> float:
    """Relative error that a layer adds: at the keypoints, else everywhere, else 0."""
    errors = layer.own.at_keypoints.relative, layer.own.everywhere.relative
    return next((error for error in errors if error is not None), 0.0)


def weights_error(layer: LayerErrors) -> float | None:
    """
    Relative error by 8-bit weights.

    If the integer weights are unknown, this is the rest of the own error after subtraction of the
    rounding error, under the assumption that the two are independent.
    """
    known, own = layer.weights.everywhere.relative, layer.own.everywhere.relative
    rounding = layer.rounding.everywhere.relative
    if known is not None or own is None or rounding is None:
        return known
    return max(0.0, own**2 - rounding**2) ** 0.5


def wrong_range(layer: LayerErrors) -> Range | None:
    """A range with a much smaller rounding error than that of the layer; None: no such range."""
    rounding = layer.rounding.everywhere.relative
    if layer.range is None or rounding is None or rounding <= NEGLIGIBLE:
        return None
    best = layer.range.best()
    return best if best and rounding > RANGE_FAULT * best.error else None


def _without_repeated_advice(finding: Finding, before: list[Finding]) -> Finding:
    if any(finding.advice == other.advice for other in before):
        return replace(finding, advice=())
    return finding


def _judge_layer(name: str, analysis: Analysis) -> Finding:
    layer = analysis.layers[name]
    better = wrong_range(layer)
    if layer.range is not None and better is not None:
        return _judge_range(layer, layer.range, better, analysis.outputs.images)
    rounding, weights = layer.rounding.everywhere.relative, weights_error(layer)
    text = (
        f'No layer has a wrong range. {name} adds the largest error, '
        f'{percent(own_error(layer))} at the keypoints'
    )
    if own_error(layer) < SMALL:
        text += ', which is small'
    if rounding is None:
        return Finding(
            name, 'rounding', f'{text}, although it computes in float.', (COMPARE_ADVICE,)
        )
    advice = [f'Leave {name} in float16 (hybrid quantization).']
    effects = [analysis.effect(name, output) for output in (LOGIT_LAYER, DESCRIPTOR_LAYER)]
    known = [effect for effect in effects if effect is not None]
    if known:
        advice[0] += f' On its own it changes the outputs by {percent(max(known))}.'
    if weights is None or rounding > weights:
        text += '. Its range is nearly optimal for a single scale.'
        return Finding(name, 'rounding', text, tuple(advice))
    text += (
        f'. Its range is good (rounding error {percent(rounding)}); its 8-bit weights cause '
        f'{percent(weights)}.'
    )
    if not analysis.per_channel:
        advice.append(PER_CHANNEL_ADVICE)
    return Finding(name, 'weights', text, tuple(advice))


def _judge_range(layer: LayerErrors, use: RangeUse, better: Range, images: int) -> Finding:
    low, high = limits(use.quantization)
    text = (
        f'{layer.name} has the wrong range: {number(low)} to {number(high)} causes a rounding '
        f'error of {percent(layer.rounding.everywhere.relative)}, {number(better.low)} to '
        f'{number(better.high)} would cause {percent(better.error)}. '
    )
    if images < FEW_IMAGES:
        text = f'Measured on few images ({images}; use {FEW_IMAGES} or more to be sure): {text}'
    too_narrow = better.low < low or better.high > high
    if use.clipped > CLIPPED or too_narrow:
        text += f'{percent(use.clipped)} of its float values are outside and clipped.'
        if layer.name == IMAGE:
            return Finding(layer.name, 'input', text, (INPUT_ADVICE,))
        return Finding(layer.name, 'clipped', text, CLIPPED_ADVICE)
    text += f'99.8 % of its values use only {round(256 * use.steps_used)} of 256 steps.'
    return Finding(layer.name, 'wasted', text, WASTED_ADVICE)


def _judge_biases(analysis: Analysis) -> Iterator[Finding]:
    source = {layer.name: layer.source for layer in LAYERS}
    for name, layer in analysis.layers.items():
        error = layer.bias.relative
        if error is not None and error > BIAS_FAULT:
            yield Finding(
                name,
                'bias',
                f'The integer biases of {name} deviate by {percent(error)}: they were computed '
                f'for another scale of its input, {source[name]}, or from other weights.',
                (f'Quantize again instead of editing the scale of {source[name]}.',),
            )


def _judge_input(analysis: Analysis) -> Iterator[Finding]:
    use = analysis.layers[IMAGE].range if IMAGE in analysis.layers else None
    if use is None:
        return
    low, high = limits(use.quantization)
    if low > 0.5 or high < 254.5:
        text = f'The model input represents only the grey values {number(low)} to {number(high)}'
    elif use.quantization.scale != 1:
        text = f'The model input has the scale {use.quantization.scale:g}: it needs an input table'
    else:
        return
    yield Finding(IMAGE, 'input', f'{text}.', (INPUT_ADVICE,))


def percent(share: float | None) -> str:
    """Format a share in percent with two significant digits."""
    if share is None:
        return '-'
    if 0 < share < 1e-5:
        return '< 0.001 %'
    return f'{100 * share:.2g} %' if share < 0.0995 else f'{100 * share:.0f} %'


def number(value: float) -> str:
    """Format a value of a tensor with three significant digits."""
    return f'{value:.3g}'
