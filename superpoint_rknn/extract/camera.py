"""Features of the images of one recorded camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from superpoint_rknn.extractor import Detection, Extractor, Settings
from superpoint_rknn.features.keypoints import Keypoints
from superpoint_rknn.features.rate import RateLimiter, StampOrder, jumps
from superpoint_rknn.runtimes.runtime import Runtime
from superpoint_rknn.tracking.tracker import Tracker, Tracks, TrackSettings


@dataclass(frozen=True)
class Features:
    """Keypoints, tracks and descriptors of one image."""

    keypoints: Keypoints
    tracks: Tracks | None  # None for a late image, see StampOrder
    descriptors: np.ndarray | None  # (N, dim) float32; None if the rate skips this image


class RecordedCamera:
    """
    Computes for each image what the superpoint and tracker nodes publish if none is dropped.

    One thread may call `detect` for later images while another calls `finish`.
    rate: images per second that get descriptors, chosen by their
    stamps [Hz]; None: every image, 0: none.
    """

    def __init__(
        self, runtime: Runtime, settings: Settings, tracking: TrackSettings, rate: float | None
    ):
        self.restarts = 0  # of the tracker, at jumps of the timestamp
        self._extractor = Extractor(runtime, settings)
        self._tracker = Tracker(tracking)
        self._rate = rate
        self._described = RateLimiter()
        self._order = StampOrder()
        self._last_detected: int | None = None
        self._last_tracked: int | None = None

    def detect(self, image: np.ndarray, stamp: int) -> Detection:
        """
        Detect the keypoints of the next image; fetch its descriptor map if descriptors are due.

        image: (height, width) uint8 grey. stamp: of the image [ns].
        Raises ValueError with the reason if the image cannot be used, RuntimeError if the runtime
        failed.
        """
        if stamp == self._last_detected:
            raise ValueError(f'header.stamp: {stamp} ns, the same as that of the image before')
        rate = self._rate
        is_due = rate is None or (rate > 0 and self._described.is_due(stamp, rate))
        detection = self._extractor.detect(
            image, self._extractor.new_descriptor_map() if is_due else None
        )
        self._last_detected = stamp
        if is_due and rate is not None:
            self._described.select(stamp, rate)
        return detection

    def finish(self, image: np.ndarray, stamp: int, detection: Detection) -> Features:
        """
        Track and describe the keypoints of the next image that `detect` has seen.

        image, stamp: as for `detect`. The tracker keeps the image; do not change it.
        A late image has no tracks, as in the tracker node. Raises ValueError if an earlier image
        has the same stamp.
        """
        points = detection.keypoints
        tracks = None if self._order.late_by(stamp) else self._track(image, stamp, points)
        if detection.raw is None:
            return Features(points, tracks, None)
        rows = self._extractor.describe(detection)
        if tracks is not None:
            model = self._extractor.runtime.model
            self._tracker.add_descriptors(stamp, points.x, points.y, rows, model)
        return Features(points, tracks, rows)

    def _track(self, image: np.ndarray, stamp: int, points: Keypoints) -> Tracks:
        if stamp == self._last_tracked:
            raise ValueError(f'header.stamp: {stamp} ns, the same as that of an earlier image')
        if jumps(self._last_tracked, stamp):
            self._tracker.restart()
            self.restarts += 1
        self._last_tracked = stamp
        return self._tracker.track(image, stamp, points)
