"""One camera of a recording: its images, one after another, to features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from superpoint_rknn.extractor import Detection, Extractor, Settings
from superpoint_rknn.features.keypoints import Keypoints
from superpoint_rknn.features.rate import RateLimiter, jumps
from superpoint_rknn.runtimes.runtime import Runtime
from superpoint_rknn.tracking.tracker import Tracker, Tracks, TrackSettings


@dataclass(frozen=True)
class Features:
    """What was found in an image."""

    keypoints: Keypoints
    tracks: Tracks
    descriptors: np.ndarray | None  # (N, dim) float32; None if it wasn't their turn


class RecordedCamera:
    """
    Does with each image what both nodes would, had they the time.

    One thread may call `detect` for the images to come while another calls `finish`.
    rate: of descriptors, by the images' stamps [Hz]; None:
    of every image, 0: of none.
    """

    def __init__(
        self, runtime: Runtime, settings: Settings, tracking: TrackSettings, rate: float | None
    ):
        self.restarts = 0  # of the tracker, where stamps jump
        self._extractor = Extractor(runtime, settings)
        self._tracker = Tracker(tracking)
        self._rate = rate
        self._described = RateLimiter()
        self._last_detected: int | None = None
        self._last_finished: int | None = None

    def detect(self, image: np.ndarray, stamp: int) -> Detection:
        """
        Points of the next image, with its descriptor map if it is to have descriptors.

        image: (height, width) uint8 grey. stamp: of the image [ns].
        Raises ValueError, naming what is wrong, for an image that can't be used; RuntimeError if
        the engine failed.
        """
        if stamp == self._last_detected:
            raise ValueError(f'header.stamp: {stamp} ns, the same as of the image before')
        rate = self._rate
        due = bool(rate) and self._described.is_due(stamp, rate)
        described = rate is None or due
        detection = self._extractor.detect(
            image, self._extractor.new_descriptor_map() if described else None
        )
        self._last_detected = stamp
        if due:
            self._described.select(stamp, rate)
        return detection

    def finish(self, image: np.ndarray, stamp: int, detection: Detection) -> Features:
        """Features of the next image that was detected in; the image is left alone from then."""
        if jumps(self._last_finished, stamp):
            self._tracker.restart()
            self.restarts += 1
        self._last_finished = stamp
        points = detection.keypoints
        tracks = self._tracker.track(image, stamp, points)
        if detection.raw is None:
            return Features(points, tracks, None)
        rows = self._extractor.describe(detection)
        model = self._extractor.runtime.model
        self._tracker.describe(stamp, points.x, points.y, rows, model)
        return Features(points, tracks, rows)
