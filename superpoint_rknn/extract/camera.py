"""One camera of a recording: its images, one after another, to features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from superpoint_rknn.extractor import Detection, Extractor, Settings
from superpoint_rknn.features.stamps import Cadence, jumps
from superpoint_rknn.features.tracks import Tracker, Tracks, TrackSettings
from superpoint_rknn.runtimes.runtime import Runtime


@dataclass(frozen=True)
class Features:
    """What was found in an image."""

    detection: Detection
    tracks: Tracks
    descriptors: np.ndarray | None  # (N, dim) float32; None if it wasn't their turn


class RecordedCamera:
    """
    Does with each image what both nodes would, had they the time.

    rate: of descriptors by the images' stamps, as a deterministic node chooses them [Hz]; None:
    of every image, 0: of none.
    """

    def __init__(
        self, runtime: Runtime, settings: Settings, tracking: TrackSettings, rate: float | None
    ):
        self.restarts = 0  # of the tracker, where stamps jump
        self._extractor = Extractor(runtime, settings)
        self._tracker = Tracker(tracking)
        self._rate = rate
        self._raw = self._extractor.new_raw()
        self._last_stamp: int | None = None
        self._described = Cadence()

    def process(self, image: np.ndarray, stamp: int) -> Features:
        """
        Features of the next image.

        image: (height, width) uint8 grey, left alone from then on. stamp: of the image [ns].
        Raises ValueError, naming what is wrong, for an image that can't be used; RuntimeError if
        the engine failed.
        """
        if stamp == self._last_stamp:
            raise ValueError(f'header.stamp: {stamp} ns, the same as of the image before')
        described = self._is_due(stamp)
        detection = self._extractor.detect(image, self._raw if described else None)
        if jumps(self._last_stamp, stamp):
            self._tracker.restart()
            self.restarts += 1
        self._last_stamp = stamp
        points = detection.keypoints
        tracks = self._tracker.track(image, stamp, points)
        if not described:
            return Features(detection, tracks, None)
        self._described.choose(stamp)
        rows = self._extractor.describe(detection)
        model = self._extractor.runtime.model
        self._tracker.describe(stamp, points.x, points.y, rows, model)
        return Features(detection, tracks, rows)

    def _is_due(self, stamp: int) -> bool:
        """Whether an image is to have descriptors."""
        if self._rate is None:
            return True
        return self._rate > 0 and self._described.is_due(stamp, self._rate)
