"""Weights of rpautrat/SuperPoint's layout: convolution, ReLU, then batch normalisation."""

from __future__ import annotations

import numpy as np

from superpoint_rknn.network.network import IMAGE, LAYERS, Weights

EPSILON = 1e-3  # of the batch normalisation
MODULES = {
    **{
        f'conv{block + 1}{"ab"[number]}': f'backbone.{block}.{number}'
        for block in range(4)
        for number in range(2)
    },
    **{'convPa': 'detector.0', 'convPb': 'detector.1'},
    **{'convDa': 'descriptor.0', 'convDb': 'descriptor.1'},
}


def from_rpautrat(tensors: dict[str, np.ndarray]) -> Weights:
    """
    The same network without batch normalisation, for raw grey images instead of 0 to 1.

    With the gain g > 0 and the offset t of the normalisation, g * relu(u) + t = max(g * u + t, t):
    so g and t go into the convolution before, and t is the layer's floor. This is exact, at the
    border too. Where the network takes several channels, each is given the grey image.
    Raises ValueError if a tensor is missing or has another shape, or a gain is negative.
    """
    kernels, biases, floors = {}, {}, {}
    for layer in LAYERS:
        module = MODULES[layer.name]
        kernel = _tensor(tensors, f'{module}.conv.weight', 4)
        bias, gamma, beta, mean, variance = (
            _tensor(tensors, f'{module}.{name}', 1)
            for name in ('conv.bias', 'bn.weight', 'bn.bias', 'bn.running_mean', 'bn.running_var')
        )
        if (
            not kernel.shape[0]
            == bias.size
            == gamma.size
            == beta.size
            == mean.size
            == variance.size
        ):
            raise ValueError(f'{module}: weights and batch normalisation differ in channels')
        if (variance < 0).any():
            raise ValueError(f'{module}.bn.running_var holds negative values')
        gain = gamma / np.sqrt(variance + EPSILON)
        offset = beta - mean * gain
        if layer.relu and (gain < 0).any():
            raise ValueError(
                f'{module}.bn.weight has negative values after a ReLU: that can not be written '
                'with convolutions and max alone'
            )
        if layer.source == IMAGE:
            kernel = kernel.sum(1, keepdims=True) / 255
        kernels[layer.name] = (kernel * gain[:, None, None, None]).astype(np.float32)
        biases[layer.name] = (bias * gain + offset).astype(np.float32)
        if layer.relu:
            floors[layer.name] = offset.astype(np.float32)
    return Weights(kernels, biases, floors)


def _tensor(tensors: dict[str, np.ndarray], name: str, dimensions: int) -> np.ndarray:
    if name not in tensors:
        raise ValueError(f'{name} is missing: not a SuperPoint of rpautrat layout')
    if tensors[name].ndim != dimensions:
        raise ValueError(f'{name} has {tensors[name].ndim} dimensions, expected {dimensions}')
    return tensors[name].astype(np.float64)
