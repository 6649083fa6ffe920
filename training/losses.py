"""Losses of the training."""

from __future__ import annotations

import torch
from torch.nn import functional

from superpoint_rknn.features import CELL
from superpoint_rknn.network.network import LAYERS
from training.network import SuperPoint

NEAR = 8.0  # [px] within which other points are not negatives
TEMPERATURES = (1.6, 3.4)  # range of the logarithm of the factor of similarities
ACTIVATION_LIMIT = 10.0  # times the rms of the layer
WEIGHT_LIMIT = 6.0  # times the rms of the layer
LOGIT_LIMIT = 14.0
FLAT = 0.01  # determinant of the curvature of a quadratic without a clear peak


def detector_loss(logits: torch.Tensor, target: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """
    Mean cross-entropy over the cells of a mask.

    logits, target: (N, 65, h, w); mask: (N, h, w).
    """
    entropy = -(target * functional.log_softmax(logits, dim=1)).sum(1)
    return (entropy * mask).sum() / mask.sum().clamp_min(1)


def place_loss(logits: torch.Tensor, points: list[torch.Tensor]) -> torch.Tensor:
    """
    Mean distance of the peaks that `detector.subpixel` fits from the true places.

    The fit is that of superpoint_rknn.features.subpixel: a quadratic to the log probabilities of
    3x3 pixels. Where it has no peak, the cross-entropy alone forms one.
    logits: (N, 65, h, w). points: of each image, (K, 2) x and y [px].
    """
    log_probability = functional.log_softmax(logits, dim=1)[:, :-1]
    maps = functional.pixel_shuffle(log_probability, CELL)[:, 0]
    side = maps.shape[-1]
    steps = torch.arange(-1, 2, device=logits.device)
    patches, offsets = [], []
    for values, places in zip(maps, points, strict=True):
        pixel = places.round().long()
        kept = ((pixel > 0) & (pixel < side - 1)).all(1)
        col, row = (pixel[kept, i, None, None] for i in (0, 1))
        patches.append(values[row + steps[:, None], col + steps])
        offsets.append((places - pixel)[kept])
    peak, is_peak = fitted_peak(torch.cat(patches))
    distance = functional.smooth_l1_loss(peak, torch.cat(offsets), reduction='none', beta=0.2)
    return (distance.sum(1) * is_peak).sum() / is_peak.sum().clamp_min(1)


def fitted_peak(patch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Offset (K, 2) of the peak of a quadratic fit to (K, 3, 3), up to 1 px; whether it is one."""
    column, row = patch.sum(1), patch.sum(2)
    b, c = (column[:, 2] - column[:, 0]) / 6, (row[:, 2] - row[:, 0]) / 6
    xx = (column[:, 0] + column[:, 2] - 2 * column[:, 1]) / 3
    yy = (row[:, 0] + row[:, 2] - 2 * row[:, 1]) / 3
    xy = (patch[:, 0, 0] + patch[:, 2, 2] - patch[:, 0, 2] - patch[:, 2, 0]) / 4
    determinant = xx * yy - xy * xy
    is_peak = (determinant > FLAT) & (xx < 0)
    determinant = torch.where(is_peak, determinant, torch.ones_like(determinant))
    offset = torch.stack([xy * c - yy * b, xy * b - xx * c], dim=1) / determinant[:, None]
    return offset.clamp(-1, 1), is_peak


def sample(descriptors: torch.Tensor, points: torch.Tensor, side: int) -> torch.Tensor:
    """Unit descriptors (K, C) at points (K, 2) of one view, from its map (C, h, w)."""
    grid = ((points + 0.5) / side * 2 - 1)[None, None]
    found = functional.grid_sample(
        descriptors[None], grid, mode='bilinear', padding_mode='border', align_corners=False
    )
    return functional.normalize(found[0, :, 0].t(), dim=1)


def descriptor_loss(
    descriptors: torch.Tensor,
    points: list[tuple[torch.Tensor, torch.Tensor]],
    temperature: torch.Tensor,
    side: int,
) -> tuple[torch.Tensor, float]:
    """
    Dual softmax over the similarities of all points of the batch, except those near the true one.

    descriptors: (2 N, C, h, w), the two views of a pair in succession. points: of each of N pairs,
    (K, 2) in each view [px]. Returns the loss and the share of points whose best match within
    their pair is the true one.
    """
    maps = functional.normalize(descriptors, dim=1)
    first = torch.cat([sample(maps[2 * i], p[0], side) for i, p in enumerate(points)])
    second = torch.cat([sample(maps[2 * i + 1], p[1], side) for i, p in enumerate(points)])
    pair = torch.cat([torch.full((len(p[0]),), i) for i, p in enumerate(points)]).to(first.device)
    similarity = first @ second.t() * temperature.clamp(*TEMPERATURES).exp()
    same = pair[:, None] == pair
    near = torch.zeros_like(same)
    for view in range(2):
        position = torch.cat([p[view] for p in points])
        near |= same & (torch.cdist(position, position) < NEAR)
    near.fill_diagonal_(False)
    similarity = similarity.masked_fill(near, -1e4)
    truth = torch.arange(len(first), device=first.device)
    with torch.no_grad():
        best = similarity.masked_fill(~same, -1e4).argmax(1)
        accuracy = float((best == truth).float().mean())
    loss = functional.cross_entropy(similarity, truth)
    return (loss + functional.cross_entropy(similarity.t(), truth)) / 2, accuracy


def norm_loss(descriptors: torch.Tensor) -> torch.Tensor:
    """Mean squared logarithm of the raw descriptors' norms, for equal norms in 8 bits."""
    return (descriptors.norm(dim=1) + 1e-6).log().square().mean()


def outlier_loss(network: SuperPoint, logits: torch.Tensor, step: int) -> torch.Tensor:
    """Penalty for outliers of activations, weights and logits of the last forward pass."""
    loss = functional.relu(logits.abs() - LOGIT_LIMIT).square().mean() / 30
    for layer in LAYERS:
        kernel = getattr(network, layer.name).weight
        loss = loss + _beyond(kernel, WEIGHT_LIMIT)
        if layer.name != 'convPb':
            values = network.activations[layer.name]
            if values.requires_grad:
                stride = max(1, values.shape[2] // 20)
                row, column = step % stride, step // stride % stride
                values = values[:, :, row::stride, column::stride]
                loss = loss + _beyond(values, ACTIVATION_LIMIT)
    return loss


def _beyond(values: torch.Tensor, limit: float) -> torch.Tensor:
    values = values.float()
    rms = values.detach().square().mean().sqrt() + 1e-6
    return functional.relu(values.abs() / rms - limit).square().mean()


def distillation_loss(
    logits: torch.Tensor,
    descriptors: torch.Tensor,
    teacher_logits: torch.Tensor,
    teacher_descriptors: torch.Tensor,
) -> torch.Tensor:
    """Distance to the teacher: divergence of the cells and cosine distance of descriptors."""
    shares = functional.softmax(teacher_logits, dim=1)
    divergence = functional.kl_div(
        functional.log_softmax(logits, dim=1), shares, reduction='none'
    ).sum(1)
    similarity = functional.cosine_similarity(descriptors, teacher_descriptors, dim=1)
    return divergence.mean() + 2 * (1 - similarity).mean()
