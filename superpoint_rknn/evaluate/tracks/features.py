"""What is tracked: the keypoints of the network, of Shi and Tomasi, and of ORB."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from superpoint_rknn.evaluate.features import ORB_THRESHOLD
from superpoint_rknn.evaluate.metrics import mutual_neighbours
from superpoint_rknn.extractor import Extractor, Settings
from superpoint_rknn.features.keypoints import DetectorSettings, Keypoints
from superpoint_rknn.runtimes.runtime import Runtime
from superpoint_rknn.tracking.point_distances import nearest

DETECTOR = DetectorSettings(subpixel=True)
CORNER_QUALITY = 0.01  # of a corner's eigenvalue, relative to the best one's: OpenCV's example
CORNER_DISTANCE = 5  # [px] of two corners
SAME = 0.01  # [px] the tracker hands points on as it got them


@dataclass(frozen=True)
class Described:
    """Keypoints of one image and their descriptors, (N, C) float32 of unit length."""

    keypoints: Keypoints
    descriptors: np.ndarray


def network_features(runtime: Runtime, images: list[np.ndarray]) -> list[Described]:
    """Keypoints and descriptors of each image; raises what Extractor.detect raises."""
    extractor = Extractor(runtime, Settings(DETECTOR))
    raw = extractor.new_descriptor_map()
    features = []
    for image in images:
        detection = extractor.detect(image, raw)
        features.append(Described(detection.keypoints, extractor.describe(detection)))
    return features


def corners(image: np.ndarray) -> Keypoints:
    """Corners by Shi and Tomasi, the best first."""
    found = cv2.goodFeaturesToTrack(image, DETECTOR.max_keypoints, CORNER_QUALITY, CORNER_DISTANCE)
    return _ranked(np.empty((0, 2), np.float32) if found is None else found[:, 0])


class OrbMatching:
    """ORB's keypoints, followed by their descriptors from one image to the next."""

    def __init__(self):
        self._orb = cv2.ORB_create(DETECTOR.max_keypoints, fastThreshold=ORB_THRESHOLD)
        self._image: np.ndarray | None = None
        self._found: tuple[np.ndarray, np.ndarray]

    def keypoints(self, image: np.ndarray) -> Keypoints:
        """Keypoints of an image, the best first."""
        return _ranked(self._features(image)[0])

    def follow(
        self, before: np.ndarray, now: np.ndarray, points: np.ndarray, forward_backward: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """
        As flow.follow does, but by the nearest descriptor, there and back.

        points: keypoints of the image before. forward_backward: of no use here.
        """
        places, descriptors = self._features(before)
        found, others = self._features(now)
        there, sound = points.copy(), np.zeros(len(points), bool)
        own = nearest(points, places, SAME)
        rows = np.flatnonzero(own >= 0)
        i, j = mutual_neighbours(descriptors[own[rows]], others)
        there[rows[i]], sound[rows[i]] = found[j], True
        return there, sound

    def _features(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places, (N, 2) float32, and descriptors, (N, 32) uint8, the best first."""
        if image is not self._image:
            keypoints, descriptors = self._orb.detectAndCompute(image, None)
            order = np.argsort([-k.response for k in keypoints], kind='stable')
            if len(keypoints):
                self._found = cv2.KeyPoint_convert(keypoints)[order], descriptors[order]
            else:
                self._found = np.empty((0, 2), np.float32), np.empty((0, 32), np.uint8)
            self._image = image
        return self._found


def _ranked(points: np.ndarray) -> Keypoints:
    """Points in this order, with scores that say no more than it."""
    score = np.linspace(1, 0, len(points), endpoint=False, dtype=np.float32)
    return Keypoints(points[:, 0].copy(), points[:, 1].copy(), score)
