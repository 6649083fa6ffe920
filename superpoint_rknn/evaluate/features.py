"""The features that are compared: those of networks, ORB and SIFT."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from superpoint_rknn.evaluate.metrics import Features
from superpoint_rknn.evaluate.pairs import VIEW_SIZE
from superpoint_rknn.features.descriptors import DescriptorSampler
from superpoint_rknn.features.keypoints import DetectorSettings, KeypointDetector
from superpoint_rknn.network.network import float_graph
from superpoint_rknn.network.weights import load_weights
from superpoint_rknn.runtimes.onnx.runtime import OnnxRuntime
from superpoint_rknn.runtimes.runtime import ModelError, Runtime

SETTINGS = DetectorSettings()  # as a node without parameters has them
SUBPIXEL = '_subpixel'  # ends the name of a row with refined points
ORB_THRESHOLD = 10  # of its corners; the default of 20 leaves dull images with few points

# An image (height, width) uint8 -> its features, by the name of the row that they belong to
Method = Callable[[np.ndarray], dict[str, Features]]


class NetworkFeatures:
    """SuperPoint's features of images of VIEW_SIZE."""

    def __init__(
        self,
        name: str,
        runtime: Runtime,
        subpixel: bool = False,
        settings: DetectorSettings = SETTINGS,
    ):
        """
        Take a network under the name of a row.

        subpixel: give the same points, refined, as a row of their own.
        Raises ModelError if the network takes images of another size.
        """
        size = runtime.input.shape[2:]
        if size != VIEW_SIZE:
            raise ModelError(
                f'{runtime.model} takes images of {size[0]}x{size[1]}, the evaluation needs '
                f'{VIEW_SIZE[0]}x{VIEW_SIZE[1]}'
            )
        self._rows = {name: settings}
        if subpixel:
            self._rows[name + SUBPIXEL] = replace(settings, subpixel=True)
        self._runtime = runtime
        self._detector = KeypointDetector(*size)
        _, *shape = runtime.descriptors.shape
        self._sampler = DescriptorSampler(*shape, runtime.descriptors.quantization)
        self._raw = np.empty(shape, runtime.descriptors.dtype)

    def __call__(self, image: np.ndarray) -> dict[str, Features]:
        """Features of one image; RuntimeError if the engine failed."""
        logits = self._runtime.infer(image, self._raw)
        features = {}
        for name, settings in self._rows.items():
            found = self._detector.detect(logits, settings)
            descriptors = self._sampler.sample_descriptors(self._raw, found.x, found.y)
            features[name] = Features(np.stack([found.x, found.y], axis=1), descriptors)
        return features


def float_runtime(weights: Path) -> OnnxRuntime:
    """The float network with some weights; raises what load_weights does."""
    graph = float_graph(load_weights(weights), VIEW_SIZE)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f'{Path(weights).stem}_float.onnx')
        path.write_bytes(graph.SerializeToString(deterministic=True))
        return OnnxRuntime(path)


def orb(image: np.ndarray) -> dict[str, Features]:
    """Features of OpenCV's ORB."""
    detector = cv2.ORB_create(SETTINGS.max_keypoints, fastThreshold=ORB_THRESHOLD)
    return {'orb': _opencv_features(detector, image)}


def sift(image: np.ndarray) -> dict[str, Features]:
    """Features of OpenCV's SIFT."""
    return {'sift': _opencv_features(cv2.SIFT_create(SETTINGS.max_keypoints), image)}


def _opencv_features(detector: cv2.Feature2D, image: np.ndarray) -> Features:
    keypoints, descriptors = detector.detectAndCompute(image, None)
    points = cv2.KeyPoint_convert(keypoints) if keypoints else np.empty((0, 2), np.float32)
    if descriptors is None:
        descriptors = np.empty((0, detector.descriptorSize()), np.float32)
    return Features(points, descriptors)
