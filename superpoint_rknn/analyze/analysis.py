"""Comparison of a quantized network with the float network on images, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from superpoint_rknn.analyze.float_trace import (
    TRACED,
    DownstreamNetworks,
    FloatTrace,
    SingleLayers,
)
from superpoint_rknn.analyze.integer_trace import IntegerLayer, IntegerTrace
from superpoint_rknn.analyze.layer_errors import Deviation, LayerErrors, keypoint_cells
from superpoint_rknn.analyze.output_errors import OutputErrors, Outputs
from superpoint_rknn.analyze.range_use import RangeUse, fake_quantize, limits
from superpoint_rknn.network.network import IMAGE, Weights
from superpoint_rknn.quantize.calibration import CalibrationImage, Progress

if TYPE_CHECKING:
    from superpoint_rknn.analyze.simulator import Simulator

LOGIT_LAYER, DESCRIPTOR_LAYER = 'convPb', 'convDb'
SIMILAR = 0.9  # cosine similarity that some layer has if the weights are the same


@dataclass
class Analysis:
    """
    A quantized network compared with the float network.

    title: for the report.
    layers: errors of the model input and of all layers by name, in the network's order.
    effects: by layer and output layer, the deviation of that output at the keypoints if only this
    layer computes in 8 bits; empty if the integer weights are unknown.
    per_channel: whether the weights have one scale per output channel.
    """

    title: str
    layers: dict[str, LayerErrors]
    outputs: OutputErrors
    effects: dict[str, dict[str, Deviation]] = field(default_factory=dict)
    per_channel: bool = False

    def effect(self, name: str, output_layer: str) -> float | None:
        """Relative error of an output if only layer `name` computes in 8 bits; None: unknown."""
        deviation = self.effects.get(name, {}).get(output_layer)
        return None if deviation is None else deviation.relative

    def summary(self) -> dict:
        """Figures for JSON."""
        layers = [
            {
                **layer_summary(errors),
                'effect_logits': self.effect(name, LOGIT_LAYER),
                'effect_descriptors': self.effect(name, DESCRIPTOR_LAYER),
            }
            for name, errors in self.layers.items()
        ]
        return {'name': self.title, 'layers': layers, 'outputs': self.outputs.summary()}


def analyze(
    weights: Weights,
    network: IntegerTrace,
    images: Iterable[CalibrationImage],
    *,
    progress: Progress = iter,
) -> Analysis:
    """
    Compare an 8-bit network of the CPU runtime with the float network.

    weights: of the float network, without floors (see without_floors).
    images: of the network's size.
    """
    size = network.size
    float_network = FloatTrace(weights, size, network.layers)
    downstream = DownstreamNetworks(weights, size)
    layers = {name: LayerErrors(name, network.quantizations.get(name)) for name in TRACED}
    effects = {
        name: {output: Deviation() for output in dependent_outputs(name)} for name in TRACED[1:]
    }
    for name, layer in network.layers.items():
        layers[name].bias.add(weights.biases[name], layer.bias)
    outputs = OutputErrors(size)
    for image in progress(images):
        reference, weights_only = float_network.run(image.grey)
        quantized = network.run(image.grey)
        keypoints = outputs.keypoints(reference[LOGIT_LAYER])
        cells_of = {
            name: keypoint_cells(keypoints, size, value.shape[1:])
            for name, value in reference.items()
        }
        for name, errors in layers.items():
            own = errors.add(
                reference[name], quantized[name], weights_only.get(name), cells_of[name]
            )
            if name in effects and errors.range is not None:
                for output, value in downstream.outputs(name, own):
                    rows, cols = cells_of[output]
                    effects[name][output].add(
                        reference[output][:, rows, cols], value[:, rows, cols]
                    )
        outputs.add(image.name, image.grey, network_outputs(reference), network_outputs(quantized))
    return Analysis('8 bits on the CPU', layers, outputs, effects)


def analyze_simulator(
    weights: Weights,
    simulator: Simulator,
    images: Iterable[CalibrationImage],
    *,
    size: tuple[int, int],
    title: str,
    per_channel: bool = False,
    progress: Progress = iter,
) -> Analysis:
    """
    Compare the NPU simulated by rknn-toolkit2 with the float network.

    The toolkit does not expose its integer weights. The own error of a layer is therefore the
    deviation of the simulated output from the output of the float layer for the simulated input.
    weights: of the float network, without floors (see without_floors).
    simulator: opened with `layers`. size: of its model input. title: for the report.
    per_channel: whether its weights have one scale per output channel.
    Raises RuntimeError with the error message of the toolkit.
    """
    float_network, single_layers = FloatTrace(weights, size), SingleLayers(weights, size)
    outputs = OutputErrors(size)
    quantizations = simulator.quantizations
    layers = {name: LayerErrors(name, quantizations.get(name)) for name in TRACED}
    for image in progress(images):
        reference, _ = float_network.run(image.grey)
        quantized = {
            IMAGE: fake_quantize(reference[IMAGE], quantizations[IMAGE]),
            **simulator.trace(image.grey),
        }
        single = {IMAGE: reference[IMAGE], **single_layers.run(quantized)}
        keypoints = outputs.keypoints(reference[LOGIT_LAYER])
        for name, errors in layers.items():
            cells = keypoint_cells(keypoints, size, reference[name].shape[1:])
            errors.add_single_layer(reference[name], quantized[name], single[name], cells)
        outputs.add(image.name, image.grey, network_outputs(reference), network_outputs(quantized))
    return Analysis(title, layers, outputs, per_channel=per_channel)


def dependent_outputs(name: str) -> tuple[str, ...]:
    """Output layers that depend on a layer."""
    if name.startswith('convP'):
        return (LOGIT_LAYER,)
    return (DESCRIPTOR_LAYER,) if name.startswith('convD') else (LOGIT_LAYER, DESCRIPTOR_LAYER)


def network_outputs(values: dict[str, np.ndarray]) -> Outputs:
    """The outputs of a network among the outputs of its layers."""
    return Outputs(values[LOGIT_LAYER], values[DESCRIPTOR_LAYER])


def check_origin(weights: Weights, layers: dict[str, IntegerLayer], name: str) -> None:
    """Raise ValueError if no layer of an 8-bit network was quantized from these weights."""

    def cosine(layer_name: str, kernel: np.ndarray) -> float:
        deviation = Deviation()
        deviation.add(weights.kernels[layer_name], kernel)
        return deviation.cosine or 0

    if layers and all(cosine(n, layer.kernel) < SIMILAR for n, layer in layers.items()):
        raise ValueError(f'{name} was not quantized from these weights: name them by --weights')


def layer_summary(errors: LayerErrors) -> dict:
    """Figures of a layer for JSON; None for those that it does not have."""
    return {
        'name': errors.name,
        **_range_summary(errors.range),
        'accumulated': errors.accumulated.summary(),
        'own': errors.own.summary(),
        'weights_error': errors.weights.everywhere.relative,
        'rounding_error': errors.rounding.everywhere.relative,
        'bias_error': errors.bias.relative,
    }


def _range_summary(use: RangeUse | None) -> dict:
    best = use and use.best()
    return {
        'bits': use and 8,
        'scale': use and use.quantization.scale,
        'zero_point': use and use.quantization.zero_point,
        'range': use and list(limits(use.quantization)),
        'typical': use and use.typical,
        'steps_used': use and use.steps_used,
        'saturated': use and use.clipped,
        'best_range': best and [best.low, best.high],
        'best_rounding_error': best and best.error,
    }
