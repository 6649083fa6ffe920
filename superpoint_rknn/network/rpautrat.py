"""Weights in the layout of rpautrat/SuperPoint: convolution, ReLU, then batch normalization."""

from __future__ import annotations

import numpy as np

from superpoint_rknn.network.network import IMAGE, LAYERS, Weights

EPSILON = 1e-3  # of the batch normalization
MODULES = {
    **{
        f'conv{block + 1}{"ab"[number]}': f'backbone.{block}.{number}'
        for block in range(4)
        for number in range(2)
    },
    **{'convPa': 'detector.0', 'convPb': 'detector.1'},
    **{'convDa': 'descriptor.0', 'convDb': 'descriptor.1'},
}


def from_rpautrat(tensors: dict[str, np.ndarray], std: float) -> Weights:
    """
    Fold the batch normalization, and the divisor `std` of the grey values 0..255.

    With the gain g > 0 and the offset t of the normalization, g * relu(u) + t = max(g * u + t, t):
    g and t are folded into the convolution before, and t is the floor of the layer. This is
    exact, also at the border. If the network has several input channels, each one is the grey
    image.
    Raises ValueError if a tensor is missing or has another shape, or if a gain is negative.
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
            raise ValueError(f'{module}: weights and batch normalization differ in channels')
        if (variance < 0).any():
            raise ValueError(f'{module}.bn.running_var contains negative values')
        gain = gamma / np.sqrt(variance + EPSILON)
        offset = beta - mean * gain
        if layer.relu and (gain < 0).any():
            raise ValueError(
                f'{module}.bn.weight has negative values after a ReLU, which cannot be folded '
                'into the convolution'
            )
        if layer.source == IMAGE:
            kernel = kernel.sum(1, keepdims=True) / std
        kernels[layer.name] = (kernel * gain[:, None, None, None]).astype(np.float32)
        biases[layer.name] = (bias * gain + offset).astype(np.float32)
        if layer.relu:
            floors[layer.name] = offset.astype(np.float32)
    return Weights(kernels, biases, floors)


def _tensor(tensors: dict[str, np.ndarray], name: str, dimensions: int) -> np.ndarray:
    if name not in tensors:
        raise ValueError(
            f'{name} is missing: not a SuperPoint in the layout of rpautrat/SuperPoint'
        )
    if tensors[name].ndim != dimensions:
        raise ValueError(f'{name} has {tensors[name].ndim} dimensions, expected {dimensions}')
    return tensors[name].astype(np.float64)
