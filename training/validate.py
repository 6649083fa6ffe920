"""
How good a network is on the validation pictures, by the protocol of docs/evaluation.md.

With a lower threshold: the weakest points, of which most are noise, tell what training unlearned.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from superpoint_rknn.features.descriptors import DescriptorSampler
from superpoint_rknn.features.keypoints import DetectorSettings, KeypointDetector
from superpoint_rknn.model.evaluation_metrics import Features, measure
from superpoint_rknn.model.evaluation_pairs import VIEW_SIZE, Scene, covering, make_pair
from training.data import Picture
from training.network import SuperPoint, images_to_input

SETTINGS = DetectorSettings(
    threshold=0.0005, nms_radius=4, max_keypoints=500, border=4, subpixel=True
)
SHOWN = ('rep3', 'mma3', 'h1', 'h3', 'h5', 'localization_error')


def validation_scenes(pictures: Sequence[Picture]) -> list[Scene]:
    """Scenes of the validation pictures; their random warps are not those of the evaluation."""
    chosen = [picture for picture in pictures if picture.use == 'validation']
    return [Scene(p.path, 1000 + i, covering(p.grey())) for i, p in enumerate(chosen)]


def validate(network: SuperPoint, scenes: Sequence[Scene], seeds: int) -> dict[str, float]:
    """Means of the metrics over `seeds` pairs of each scene, with sub-pixel points."""
    network.eval()
    imitates, network.eight_bits = network.eight_bits, False
    found = []
    for scene in scenes:
        for seed in range(seeds):
            pair = make_pair(scene, seed)
            if seed == 0:
                first = _features(network, pair.first)
            second = _features(network, pair.second)
            found.append(measure(first, second, pair.homography, VIEW_SIZE))
    network.eight_bits = imitates
    return {name: float(np.nanmean([values[name] for values in found])) for name in found[0]}


def worded(figures: dict[str, float]) -> str:
    """Figures in a line."""
    return ', '.join(f'{name} {figures[name]:.3f}' for name in SHOWN)


def _features(network: SuperPoint, image: np.ndarray) -> Features:
    device = next(network.parameters()).device
    with torch.inference_mode():
        logits, raw = (
            values[0].float().cpu().numpy() for values in network(images_to_input([image], device))
        )
    found = KeypointDetector(*image.shape).detect(np.ascontiguousarray(logits), SETTINGS)
    raw = np.ascontiguousarray(raw)
    descriptors = DescriptorSampler(*raw.shape, None).sample(raw, found.x, found.y)
    return Features(np.stack([found.x, found.y], axis=1), descriptors)
