"""From figures to words: which layer costs the most, why, and what to try."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from superpoint_rknn.analyze.analysis import Analysis
from superpoint_rknn.analyze.layer_errors import LayerErrors, limits
from superpoint_rknn.network.network import IMAGE, LAYERS

RANGE_FAULT = 2.0  # times the rounding error that a good range would leave
NEGLIGIBLE = 0.01  # relative error below which a layer's range is left alone
CLIPPED = 1e-3  # share of values outside of the range that is no mere outlier
BIAS_FAULT = 0.01  # relative error; rounding a bias to 32 bits leaves a thousandth of that
MUCH = 0.03  # relative error at the keypoints that a layer may add unnoticed
FEW = 5  # pictures; with fewer, a range may be at fault for these alone


@dataclass(frozen=True)
class Finding:
    """Something to know about a layer, and what to try."""

    layer: str
    kind: str  # clipped, wasted, input, bias, weights or rounding
    text: str
    advice: tuple[str, ...]  # empty where an earlier finding has the same


def worst_layer(analysis: Analysis) -> str | None:
    """
    Layer to look at first: the largest error of its own, at the keypoints.

    Layers whose range is at fault come before those that lose what 8 bits must lose.
    """
    errors = {name: own_error(layer) for name, layer in analysis.layers.items()}
    at_fault = [name for name, layer in analysis.layers.items() if has_range_fault(layer)]
    candidates = at_fault or [name for name, error in errors.items() if error]
    return max(candidates, key=errors.get, default=None)


def own_error(layer: LayerErrors) -> float:
    """Relative error that a layer adds, at the keypoints if there are any; 0 if none is known."""
    figures = layer.own.at_keypoints.relative, layer.own.everywhere.relative
    return next((figure for figure in figures if figure is not None), 0.0)


def weights_error(layer: LayerErrors) -> float | None:
    """
    Relative error by 8-bit weights.

    Where the weights are unknown: what is left of the layer's own error besides rounding, as if
    the two were independent.
    """
    known, own = layer.weights.everywhere.relative, layer.own.everywhere.relative
    rounding = layer.rounding.everywhere.relative
    if known is not None or own is None or rounding is None:
        return known
    return max(0.0, own**2 - rounding**2) ** 0.5


def has_range_fault(layer: LayerErrors) -> bool:
    """Whether another range would round this layer's values much better."""
    best, rounding = layer.best_range(), layer.rounding.everywhere.relative
    if best is None or rounding is None:
        return False
    return rounding > NEGLIGIBLE and rounding > RANGE_FAULT * best[2]


def findings(analysis: Analysis) -> list[Finding]:
    """What stands out, the worst layer first; never empty if anything is quantised."""
    worst = worst_layer(analysis)
    if worst is None:
        return []
    first = [_judge(worst, analysis)]
    faults = sorted(
        (name for name, e in analysis.layers.items() if name != worst and has_range_fault(e)),
        key=lambda name: -own_error(analysis.layers[name]),
    )
    first += [_judge(name, analysis) for name in faults]
    found = [*first, *_about_biases(analysis), *_about_the_input(analysis, first)]
    return [_not_repeated(finding, found[:i]) for i, finding in enumerate(found)]


def _not_repeated(finding: Finding, before: list[Finding]) -> Finding:
    """The finding without advice that was given already."""
    if any(finding.advice == other.advice for other in before):
        return replace(finding, advice=())
    return finding


def _judge(name: str, analysis: Analysis) -> Finding:
    layer = analysis.layers[name]
    if has_range_fault(layer):
        return _wrong_range(name, layer, analysis.outputs.images)
    rounding, weights = layer.rounding.everywhere.relative, weights_error(layer)
    added = f'No range is at fault. {name} adds the most error, '
    added += f'{percent(own_error(layer))} at the keypoints'
    if own_error(layer) < MUCH:
        added += ', which is little'
    advice = [f'Leave {name} in float16 (hybrid quantisation).']
    effects = analysis.effects.get(name, {})
    changes = [e.relative for e in effects.values() if e.relative is not None]
    if changes:
        advice[0] += f' By itself it changes the outputs by {percent(max(changes))}.'
    if rounding is None:
        text = f'{added}, although it is in float.'
        return Finding(name, 'rounding', text, (COMPARE_ADVICE,))
    if weights is None or rounding > weights:
        text = f'{added}. Its range is as good as one range for the whole tensor can be.'
        return Finding(name, 'rounding', text, tuple(advice))
    text = (
        f'{added}. Its range is good (rounding: {percent(rounding)}); it is the 8-bit weights '
        f'that lose {percent(weights)}.'
    )
    if not analysis.per_channel:
        advice.append(
            'Scales per channel for the weights (quantized_method channel), where the NPU takes '
            'them.'
        )
    return Finding(name, 'weights', text, tuple(advice))


def _wrong_range(name: str, layer: LayerErrors, pictures: int) -> Finding:
    low, high, error = layer.best_range()
    start, end = limits(layer.quantization)
    text = (
        f'{name} has the wrong range: {number(start)} to {number(end)} leaves a rounding error of '
        f'{percent(layer.rounding.everywhere.relative)}; {number(low)} to {number(high)} would '
        f'leave {percent(error)}. '
    )
    if pictures < FEW:
        text = f'Judged by so few pictures ({pictures}; give {FEW} or more to be sure), {text}'
    if (layer.saturated or 0) > CLIPPED:
        text += f'{percent(layer.saturated)} of its float values lie outside and are clipped.'
        if name == IMAGE:
            return Finding(name, 'input', text, (INPUT_ADVICE,))
        return Finding(name, 'clipped', text, CLIPPED_ADVICE)
    steps = round(256 * layer.steps_used)
    text += f'99.8 % of its values make do with {steps} of 256 steps: the rest is wasted.'
    return Finding(name, 'wasted', text, WASTED_ADVICE)


COMPARE_ADVICE = 'Compare the conversion with what `superpoint_rknn convert` does.'
CLIPPED_ADVICE = (
    'Calibrate with more pictures, and with some like those of your camera: bright, dark, '
    'detailed (quantize --images ...).',
    'If the ranges came from percentiles, take a higher --percentile, or --ranges minmax.',
    'Leave this layer in float16 (hybrid quantisation).',
)
WASTED_ADVICE = (
    'Rare outliers stretch the range: quantize --ranges percentile (--percentile 99.99, then '
    '99.9) leaves them out.',
    'Look for odd calibration pictures (blank, overexposed, noise) and take them out.',
    'Leave this layer in float16 (hybrid quantisation).',
)
INPUT_ADVICE = (
    'Calibrate with pictures that reach from 0 to 255: leave the ramp in (quantize without '
    '--no-ramp); check mean and std of the conversion.'
)


def _about_biases(analysis: Analysis) -> Iterator[Finding]:
    source = {layer.name: layer.source for layer in LAYERS}
    for name, layer in analysis.layers.items():
        error = layer.bias.relative
        if error is not None and error > BIAS_FAULT:
            yield Finding(
                name,
                'bias',
                f'The integer biases of {name} are off by {percent(error)}: they were made for '
                f'another range of its input, {source[name]}, or from other weights.',
                (f'Quantise anew instead of editing the scale of {source[name]}.',),
            )


def _about_the_input(analysis: Analysis, before: list[Finding]) -> Iterator[Finding]:
    image = analysis.layers.get(IMAGE)
    if image is None or image.quantization is None or any(f.layer == IMAGE for f in before):
        return
    low, high = limits(image.quantization)
    if low > 0.5 or high < 254.5:
        text = f'The input stands for the grey values {number(low)} to {number(high)} alone'
    elif image.quantization.scale != 1:
        text = f'The input has the scale {image.quantization.scale:g}: bytes need a table'
    else:
        return
    yield Finding(IMAGE, 'input', f'{text}.', (INPUT_ADVICE,))


def percent(share: float | None) -> str:
    """A share as text, with two digits that count."""
    if share is None:
        return '-'
    return f'{100 * share:.2g} %' if share < 0.0995 else f'{100 * share:.0f} %'


def number(value: float) -> str:
    """A tensor's value as text."""
    return f'{value:.3g}'
