"""The network in torch: the layers of the package, with optional simulated 8-bit rounding."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from superpoint_rknn.network.network import IMAGE, LAYERS, Weights

READERS = {
    layer.name: [reader.name for reader in LAYERS if reader.source == layer.name]
    for layer in LAYERS
}
MOMENTUM = 0.02  # of activation ranges


class SuperPoint(nn.Module):
    """
    Map grey images (N, 1, H, W), 0 to 1, to logits (N, 65, H/8, W/8) and raw descriptors.

    After a forward pass in training mode, `activations` has the output of each layer.
    """

    def __init__(self, weights: Weights):
        """Use the weights of a network for grey values 0 to 255."""
        super().__init__()
        for layer in LAYERS:
            kernel = torch.from_numpy(weights.kernels[layer.name].copy())
            if layer.source == IMAGE:
                kernel *= 255
            outputs, inputs, side, _ = kernel.shape
            convolution = nn.Conv2d(inputs, outputs, side, padding=side // 2)
            convolution.weight.data = kernel
            convolution.bias.data = torch.from_numpy(weights.biases[layer.name].copy())
            self.add_module(layer.name, convolution)
        self.register_buffer('ranges', torch.zeros(len(LAYERS), 2))
        self.eight_bits = False
        self.records_ranges = True
        self.activations: dict[str, torch.Tensor] = {}

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits and raw descriptors."""
        tensors = {IMAGE: image}
        for number, layer in enumerate(LAYERS):
            values = self._layer(number, layer, tensors[layer.source])
            if self.training:
                self.activations[layer.name] = values
            tensors[layer.name] = functional.max_pool2d(values, 2) if layer.pool else values
        return tensors['convPb'], tensors['convDb']

    def _layer(self, number: int, layer, values: torch.Tensor) -> torch.Tensor:
        convolution = getattr(self, layer.name)
        kernel = convolution.weight
        if self.eight_bits:
            kernel = kernel + (_rounded(kernel.detach(), *_range(kernel)) - kernel).detach()
        values = functional.conv2d(values, kernel, convolution.bias, padding=convolution.padding)
        if layer.relu:
            values = functional.relu(values)
        if self.training and self.records_ranges:
            self._record_range(number, values)
        if self.eight_bits and layer.name != 'convPb':  # the logits stay in float
            low, high = self.ranges[number].tolist()
            rounded = _rounded(values.detach().float(), low, high).to(values.dtype)
            values = values.clamp(low, high)
            values = values + (rounded - values).detach()
        return values

    @torch.no_grad()
    def _record_range(self, number: int, values: torch.Tensor) -> None:
        seen = torch.tensor(_range(values[:, :, ::2, ::2]))
        known = self.ranges[number]
        share = MOMENTUM if known.any() else 1.0
        known.lerp_(seen.to(known), share)

    def weights(self) -> Weights:
        """Weights for grey values 0 to 255, as in the package's files."""
        kernels = {layer.name: self._array(layer.name, 'weight') for layer in LAYERS}
        biases = {layer.name: self._array(layer.name, 'bias') for layer in LAYERS}
        first = next(layer.name for layer in LAYERS if layer.source == IMAGE)
        kernels[first] = (kernels[first] / 255).astype(np.float32)
        return Weights(kernels, biases)

    def _array(self, layer: str, name: str) -> np.ndarray:
        values = getattr(getattr(self, layer), name).detach().cpu().contiguous()
        return np.ascontiguousarray(values.numpy())


def restored(state: dict[str, torch.Tensor]) -> SuperPoint:
    """Network from a state dict, with its number of channels."""
    kernels, biases = (
        {layer.name: state[f'{layer.name}.{part}'].cpu().numpy() for layer in LAYERS}
        for part in ('weight', 'bias')
    )
    network = SuperPoint(Weights(kernels, biases))
    network.load_state_dict(state)
    return network


def arrays(weights: Weights) -> dict[str, np.ndarray]:
    """Arrays of an .npz of weights, by name."""
    return {
        **{f'{name}.weight': kernel for name, kernel in weights.kernels.items()},
        **{f'{name}.bias': bias for name, bias in weights.biases.items()},
    }


def heat(logits: torch.Tensor) -> torch.Tensor:
    """Keypoint probability of each pixel, (N, 8h, 8w), from logits (N, 65, h, w)."""
    shares = functional.softmax(logits.float(), dim=1)[:, :-1]
    return functional.pixel_shuffle(shares, 8)[:, 0]


def images_to_input(images: Iterable[np.ndarray], device: torch.device) -> torch.Tensor:
    """Input (N, 1, H, W) from grey images (H, W) uint8."""
    stacked = torch.from_numpy(np.stack(list(images)))[:, None].to(device)
    return stacked.float() / 255


def _range(values: torch.Tensor) -> tuple[float, float]:
    low, high = torch.aminmax(values.detach())
    return min(float(low), 0.0), max(float(high), 0.0)


def _rounded(values: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Round values to what uint8 with scale and zero point can represent."""
    scale = max((high - low) / 255, 1e-9)
    zero_point = round(-low / scale)
    return (torch.clamp(torch.round(values / scale) + zero_point, 0, 255) - zero_point) * scale
