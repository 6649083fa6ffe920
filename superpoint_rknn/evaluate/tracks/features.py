"""Keypoints to track: of the network, Shi-Tomasi corners and ORB."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from superpoint_rknn.evaluate.features import ORB_THRESHOLD
from superpoint_rknn.evaluate.metrics import mutual_neighbours
from superpoint_rknn.extractor import Extractor, Settings
from superpoint_rknn.features.keypoints import DetectorSettings, Keypoints
from superpoint_rknn.runtimes.runtime import Runtime
from superpoint_rknn.tracking.point_distances import mutual_nearest

DETECTOR = DetectorSettings()
CORNER_QUALITY = 0.01  # relative to the best corner, as in OpenCV's example
CORNER_DISTANCE = 5  # [px], minimum
SAME_POINT = 0.01  # [px]; the tracker does not change points of the previous image


@dataclass(frozen=True)
class Described:
    """Keypoints of one image and their descriptors, (N, C) float32 of unit length."""

    keypoints: Keypoints
    descriptors: np.ndarray


def network_features(runtime: Runtime, images: Iterable[np.ndarray]) -> list[Described]:
    """Keypoints and descriptors of each image; raises what Extractor.detect raises."""
    extractor = Extractor(runtime, Settings(DETECTOR))
    raw = extractor.new_descriptor_map()
    features = []
    for image in images:
        detection = extractor.detect(image, raw)
        features.append(Described(detection.keypoints, extractor.describe(detection)))
    return features


def corners(image: np.ndarray) -> Keypoints:
    """Shi-Tomasi corners, best first."""
    found = cv2.goodFeaturesToTrack(image, DETECTOR.max_keypoints, CORNER_QUALITY, CORNER_DISTANCE)
    return _ranked(np.empty((0, 2), np.float32) if found is None else found[:, 0])


class OrbMatching:
    """Track ORB keypoints by matching their descriptors between consecutive images."""

    def __init__(self) -> None:
        self._orb = cv2.ORB.create(DETECTOR.max_keypoints, fastThreshold=ORB_THRESHOLD)
        self._image: np.ndarray | None = None
        self._found: tuple[np.ndarray, np.ndarray]

    def keypoints(self, image: np.ndarray) -> Keypoints:
        """Keypoints of an image, best first."""
        return _ranked(self._features(image)[0])

    def follow(
        self, before: np.ndarray, now: np.ndarray, points: np.ndarray, forward_backward: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """
        Replace optical flow by mutual nearest neighbours of descriptors.

        points: keypoints of the image `before`. forward_backward: not used.
        Returns positions (N, 2) in the image `now` and a mask (N,) of the points found.
        """
        old_points, old_descriptors = self._features(before)
        new_points, new_descriptors = self._features(now)
        positions, found = points.copy(), np.zeros(len(points), bool)
        own = mutual_nearest(points, old_points, SAME_POINT)
        rows = np.flatnonzero(own >= 0)
        i, j = mutual_neighbours(old_descriptors[own[rows]], new_descriptors)
        positions[rows[i]], found[rows[i]] = new_points[j], True
        return positions, found

    def _features(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points, (N, 2) float32, and descriptors, (N, 32) uint8, best first."""
        if image is not self._image:
            keypoints, descriptors = self._orb.detectAndCompute(image, None)
            order = np.argsort([-k.response for k in keypoints], kind='stable')
            if len(keypoints):
                points = np.asarray(cv2.KeyPoint.convert(keypoints))
                self._found = points[order], descriptors[order]
            else:
                self._found = np.empty((0, 2), np.float32), np.empty((0, 32), np.uint8)
            self._image = image
        return self._found


def _ranked(points: np.ndarray) -> Keypoints:
    """Keypoints in this order, with decreasing scores."""
    score = np.linspace(1, 0, len(points), endpoint=False, dtype=np.float32)
    return Keypoints(points[:, 0].copy(), points[:, 1].copy(), score)
