"""
Evaluate networks on the validation pictures by the protocol of docs/evaluation.md.

The lower threshold includes weak points, mostly noise, which training should suppress.

Example:
-------
  .venv-train/bin/python -m training.validate models/superpoint.npz out/training/superpoint.npz

"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from superpoint_rknn.evaluate.metrics import Features, measure
from superpoint_rknn.evaluate.pairs import VIEW_SIZE, Scene, make_pair, resize_and_crop
from superpoint_rknn.features.descriptors import DescriptorSampler
from superpoint_rknn.features.keypoints import DetectorSettings, KeypointDetector
from superpoint_rknn.network.weights import load_weights
from training.data import Picture, fetch_pictures, listed_pictures
from training.network import SuperPoint, images_to_input

SETTINGS = DetectorSettings(
    threshold=0.0005, nms_radius=4, max_keypoints=500, border=4, subpixel=True
)
THRESHOLDS = (SETTINGS.threshold, DetectorSettings().threshold)  # of the command
SEEDS = 2  # pairs per picture, of the command
SHOWN = ('rep3', 'mma3', 'h1', 'h3', 'h5', 'localization_error')


def validation_scenes(pictures: Sequence[Picture]) -> list[Scene]:
    """Scenes of the validation pictures, with other random warps than the evaluation."""
    chosen = [picture for picture in pictures if picture.use == 'validation']
    return [Scene(p.path, 1000 + i, resize_and_crop(p.grey())) for i, p in enumerate(chosen)]


def validate(
    network: SuperPoint,
    scenes: Sequence[Scene],
    seeds: int,
    settings: DetectorSettings = SETTINGS,
) -> dict[str, float]:
    """Mean metrics over `seeds` pairs per scene."""
    network.eval()
    eight_bits, network.eight_bits = network.eight_bits, False
    found = []
    for scene in scenes:
        for seed in range(seeds):
            pair = make_pair(scene, seed)
            if seed == 0:
                first = _features(network, pair.first, settings)
            second = _features(network, pair.second, settings)
            found.append(measure(first, second, pair.homography, VIEW_SIZE))
    network.eight_bits = eight_bits
    return {name: float(np.nanmean([values[name] for values in found])) for name in found[0]}


def format_metrics(metrics: dict[str, float]) -> str:
    """Metrics as one line."""
    return ', '.join(f'{name} {metrics[name]:.3f}' for name in SHOWN)


def _features(network: SuperPoint, image: np.ndarray, settings: DetectorSettings) -> Features:
    device = next(network.parameters()).device
    with torch.inference_mode():
        logits, raw = (
            values[0].float().cpu().numpy() for values in network(images_to_input([image], device))
        )
    found = KeypointDetector(*image.shape).detect(np.ascontiguousarray(logits), settings)
    raw = np.ascontiguousarray(raw)
    descriptors = DescriptorSampler(*raw.shape, None).sample_descriptors(raw, found.x, found.y)
    return Features(np.stack([found.x, found.y], axis=1), descriptors)


def main(files: list[str]) -> int:
    """Print the metrics of files of weights; returns the exit code."""
    pictures = listed_pictures()
    fetch_pictures(pictures)
    scenes = validation_scenes(pictures)
    for file in files:
        network = SuperPoint(load_weights(Path(file)))
        for threshold in THRESHOLDS:
            metrics = validate(network, scenes, SEEDS, replace(SETTINGS, threshold=threshold))
            print(f'{file}, threshold {threshold:g}: {format_metrics(metrics)}', flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
