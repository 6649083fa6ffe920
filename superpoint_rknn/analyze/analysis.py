"""The float network against a quantised one on pictures: layers, outputs, and what is at fault."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from superpoint_rknn.analyze.layer_effects import LayerEffects
from superpoint_rknn.analyze.layer_errors import Deviation, LayerErrors, keypoint_cells, limits
from superpoint_rknn.analyze.layer_trace import ROWS, FloatTrace, IntegerLayer, IntegerTrace
from superpoint_rknn.analyze.output_errors import OutputErrors, Outputs
from superpoint_rknn.network.network import Weights
from superpoint_rknn.quantize.calibration import CalibrationImage, Progress

LOGIT_LAYER, DESCRIPTOR_LAYER = 'convPb', 'convDb'


@dataclass
class Analysis:
    """A quantised network compared with the float one."""

    title: str  # for people
    layers: dict[str, LayerErrors]  # the input and all layers, in the network's order
    outputs: OutputErrors
    # By layer: change of logits and descriptors at the keypoints where it alone is in 8 bits.
    effects: dict[str, dict[str, Deviation]] = field(default_factory=dict)
    per_channel: bool = False  # whether each output channel's weights have a scale of their own

    def summary(self) -> dict:
        """The figures, for JSON."""
        return {
            'name': self.title,
            'layers': [layer_summary(e, self.effects.get(n, {})) for n, e in self.layers.items()],
            'outputs': self.outputs.summary(),
        }


def analyse(
    weights: Weights,
    network: IntegerTrace,
    images: Iterable[CalibrationImage],
    *,
    progress: Progress = iter,
) -> Analysis:
    """
    Compare a quantised network with the float one on images of its size.

    weights: of the float network, without floors (see without_floors).
    """
    size = network.size
    floating = FloatTrace(weights, size, network.layers)
    rest = LayerEffects(weights, size)
    layers = {name: LayerErrors(name, network.layers[name].quantization) for name in ROWS}
    effects = {name: {head: Deviation() for head in heads(name)} for name in ROWS[1:]}
    for name, layer in network.layers.items():
        if layer.bias is not None:
            layers[name].bias.add(weights.biases[name], layer.bias)
    outputs = OutputErrors(size)
    for image in progress(images):
        true, alone = floating.run(image.grey)
        quantised = network.run(image.grey)
        keypoints = outputs.keypoints(true[LOGIT_LAYER])
        cells_of = {
            name: keypoint_cells(keypoints, size, value.shape[1:]) for name, value in true.items()
        }
        for name, errors in layers.items():
            own = errors.add(true[name], quantised[name], alone.get(name), cells_of[name])
            if name in effects and errors.quantization is not None:
                for head, value in rest.outputs(name, own):
                    rows, cols = cells_of[head]
                    effects[name][head].add(true[head][:, rows, cols], value[:, rows, cols])
        outputs.add(image.name, image.grey, network_outputs(true), network_outputs(quantised))
    return Analysis('8 bits on the CPU', layers, outputs, effects)


def heads(name: str) -> tuple[str, ...]:
    """Layers that give the outputs which a layer has a part in."""
    if name.startswith('convP'):
        return (LOGIT_LAYER,)
    return (DESCRIPTOR_LAYER,) if name.startswith('convD') else (LOGIT_LAYER, DESCRIPTOR_LAYER)


def network_outputs(values: dict) -> Outputs:
    """The network's outputs among the values of its layers."""
    return Outputs(values[LOGIT_LAYER], values[DESCRIPTOR_LAYER])


def check_origin(weights: Weights, layers: dict[str, IntegerLayer], name: str) -> None:
    """Raise ValueError if a quantised network was clearly not made from these weights."""
    quantised = {n: layer for n, layer in layers.items() if layer.kernel is not None}
    deviations = {name: Deviation() for name in quantised}
    for layer_name, layer in quantised.items():
        deviations[layer_name].add(weights.kernels[layer_name], layer.kernel)
    if deviations and all((d.cosine or 0) < 0.9 for d in deviations.values()):
        raise ValueError(f'{name} was not quantised from these weights: name them by --weights')


def layer_summary(errors: LayerErrors, effects: dict[str, Deviation]) -> dict:
    """Figures of a layer, for JSON; None for what it doesn't have."""
    quantization, best = errors.quantization, errors.best_range()
    return {
        'name': errors.name,
        'bits': None if quantization is None else 8,
        'scale': quantization and quantization.scale,
        'zero_point': quantization and quantization.zero_point,
        'range': quantization and list(limits(quantization)),
        'typical': errors.typical and list(errors.typical),
        'steps_used': errors.steps_used,
        'saturated': errors.saturated,
        'accumulated': errors.accumulated.summary(),
        'own': errors.own.summary(),
        'weights_error': errors.weights.everywhere.relative,
        'rounding_error': errors.rounding.everywhere.relative,
        'bias_error': errors.bias.relative,
        'best_range': best and list(best[:2]),
        'best_rounding_error': best and best[2],
        'effect_logits': _relative(effects.get(LOGIT_LAYER)),
        'effect_descriptors': _relative(effects.get(DESCRIPTOR_LAYER)),
    }


def _relative(deviation: Deviation | None) -> float | None:
    return deviation and deviation.relative
