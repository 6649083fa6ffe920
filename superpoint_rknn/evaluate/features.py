"""Features of networks, ORB and SIFT."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from superpoint_rknn.evaluate.metrics import Features
from superpoint_rknn.evaluate.pairs import VIEW_SIZE
from superpoint_rknn.features.descriptors import DescriptorSampler
from superpoint_rknn.features.keypoints import DetectorSettings, KeypointDetector
from superpoint_rknn.features.refine import refine
from superpoint_rknn.network.network import float_graph
from superpoint_rknn.network.weights import load_weights
from superpoint_rknn.runtimes.onnx.runtime import OnnxRuntime
from superpoint_rknn.runtimes.runtime import ModelError, Runtime

SETTINGS = DetectorSettings()  # defaults of the node's parameters
UNREFINED = '_unrefined'  # suffix of rows whose keypoints are whole pixels
ORB_THRESHOLD = 10  # corner threshold; with OpenCV's 20, low-contrast images have few points

# Image (height, width) uint8 -> features by row name
Method = Callable[[np.ndarray], dict[str, Features]]


class NetworkFeatures:
    """SuperPoint features of images of VIEW_SIZE."""

    def __init__(
        self,
        name: str,
        runtime: Runtime,
        unrefined: bool = False,
        settings: DetectorSettings = SETTINGS,
    ):
        """
        Prepare a network for the row `name`.

        unrefined: add a second row, with the same points as detected: whole pixels.
        Raises ModelError if the model input has another size.
        """
        size = runtime.input.shape[2:]
        if size != VIEW_SIZE:
            raise ModelError(
                f'{runtime.model} takes images of {size[0]}x{size[1]}, the evaluation needs '
                f'{VIEW_SIZE[0]}x{VIEW_SIZE[1]}'
            )
        self._rows = {name: settings}
        if unrefined:
            self._rows[name + UNREFINED] = replace(settings, subpixel=False, refine=False)
        self._runtime = runtime
        self._detector = KeypointDetector(*size)
        _, channels, rows, cols = runtime.descriptors.shape
        self._sampler = DescriptorSampler(channels, rows, cols, runtime.descriptors.quantization)
        self._raw = np.empty((channels, rows, cols), runtime.descriptors.dtype)

    def __call__(self, image: np.ndarray) -> dict[str, Features]:
        """Features of one image by row; RuntimeError if inference fails."""
        logits = self._runtime.infer(image, self._raw)
        features = {}
        for name, settings in self._rows.items():
            found = self._detector.detect(logits, settings)
            x, y = refine(image, found.x, found.y) if settings.refine else (found.x, found.y)
            descriptors = self._sampler.sample_descriptors(self._raw, x, y)
            features[name] = Features(np.stack([x, y], axis=1), descriptors)
        return features


def methods_of(
    runtimes: Mapping[str, Runtime],
    unrefined: bool = False,
    settings: DetectorSettings = SETTINGS,
) -> list[Method]:
    """Networks by row, ORB and SIFT; unrefined: see NetworkFeatures."""
    networks = [NetworkFeatures(name, r, unrefined, settings) for name, r in runtimes.items()]
    return [*networks, orb, sift]


def model_of(row: str, runtimes: Mapping[str, Runtime]) -> dict[str, str]:
    """Name of the model and of the runtime of a row, as reports have them; {} without a model."""
    runtime = runtimes.get(row.removesuffix(UNREFINED))
    return {'model': runtime.model, 'engine': runtime.name} if runtime else {}


def all_features(methods: Sequence[Method], image: np.ndarray) -> dict[str, Features]:
    """Features of one image by row."""
    return {name: found for method in methods for name, found in method(image).items()}


def float_runtime(weights: Path) -> OnnxRuntime:
    """Runtime of the float network with the given weights; raises what load_weights raises."""
    graph = float_graph(load_weights(weights), VIEW_SIZE)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f'{Path(weights).stem}_float.onnx')
        path.write_bytes(graph.SerializeToString(deterministic=True))
        return OnnxRuntime(path, std=1.0)


def orb(image: np.ndarray) -> dict[str, Features]:
    """Features of OpenCV's ORB."""
    detector = cv2.ORB.create(SETTINGS.max_keypoints, fastThreshold=ORB_THRESHOLD)
    return {'orb': _opencv_features(detector, image)}


def sift(image: np.ndarray) -> dict[str, Features]:
    """Features of OpenCV's SIFT."""
    return {'sift': _opencv_features(cv2.SIFT.create(SETTINGS.max_keypoints), image)}


def _opencv_features(detector: cv2.Feature2D, image: np.ndarray) -> Features:
    keypoints, descriptors = detector.detectAndCompute(image, None)
    points = np.asarray(cv2.KeyPoint.convert(keypoints), np.float32).reshape(-1, 2)
    if descriptors is None:
        descriptors = np.empty((0, detector.descriptorSize()), np.float32)
    return Features(points, descriptors)
