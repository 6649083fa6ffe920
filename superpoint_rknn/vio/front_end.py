"""Tracks for the estimator, by the tracker of the nodes, with their settings."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from superpoint_rknn.evaluate.tracks.features import corners
from superpoint_rknn.evaluate.tracks.metrics import TrackedPoints
from superpoint_rknn.features.keypoints import Keypoints
from superpoint_rknn.quantize.calibration import Progress
from superpoint_rknn.tracking.tracker import Tracker, TrackSettings
from superpoint_rknn.vio.keypoints import keypoints_of
from superpoint_rknn.vio.recordings import Recording

TRACKER = TrackSettings(max_tracks=150)  # as in config/mono_30hz.yaml
FEATURE_RATE = 10.0  # [Hz] of tracks for the estimator
DETECT_EVERY = 3  # images, of the row every_third
SUPERPOINT, SMALL, CORNERS, EVERY_THIRD = (
    'superpoint',
    'superpoint_small',
    'corners',
    'every_third',
)
ROWS = (SUPERPOINT, SMALL, CORNERS, EVERY_THIRD)

# Index of an image and the image -> its keypoints; None: the network skips the image
Detect = Callable[[int, np.ndarray], Keypoints | None]


@dataclass
class TrackHistory:
    """Tracks of the images of a recording."""

    times: list[float] = field(default_factory=list)  # [s]
    points: list[TrackedPoints] = field(default_factory=list)  # the ids are keys: without gaps
    directions: list[np.ndarray] = field(default_factory=list)  # (N, 2) undistorted
    cpu_ms: list[float] = field(default_factory=list)  # of the tracker, without detection

    @property
    def seconds(self) -> float:
        """Time from the first to the last image."""
        return self.times[-1] - self.times[0]

    @property
    def image_rate(self) -> float:
        """Images per second."""
        return 1 / float(np.median(np.diff(self.times)))

    @property
    def mean_tracks(self) -> float:
        """Mean number of tracks in an image."""
        return float(np.mean([len(points.id) for points in self.points]))


def track_row(recording: Recording, row: str, progress: Progress = iter) -> TrackHistory:
    """
    Track the points of one of ROWS through all images of a recording.

    All rows have the same settings, except that tracks snap to keypoints of a network only.
    Raises what keypoints_of raises.
    """
    if row == CORNERS:
        no_snap = replace(TRACKER, snap_gain=0.0)
        return track(recording, Tracker(no_snap), lambda number, image: corners(image), progress)
    model = SMALL if row == SMALL else SUPERPOINT
    keypoints = keypoints_of(recording, model, progress=progress)
    every = DETECT_EVERY if row == EVERY_THIRD else 1

    def detect(number: int, image: np.ndarray) -> Keypoints | None:
        return None if number % every else keypoints[number]

    return track(recording, Tracker(TRACKER), detect, progress)


def track(
    recording: Recording, tracker: Tracker, detect: Detect, progress: Progress = iter
) -> TrackHistory:
    """Track points through all images of a recording."""
    history = TrackHistory()
    for number, (seconds, image) in enumerate(progress(recording.images())):
        keypoints = detect(number, image)
        start = time.process_time()
        tracks = tracker.track(image, round(seconds * 1e9), keypoints, recording.camera_model)
        history.cpu_ms.append(1e3 * (time.process_time() - start))
        history.times.append(seconds)
        history.points.append(TrackedPoints(tracks.key, np.stack([tracks.x, tracks.y], axis=1)))
        history.directions.append(recording.camera_model.undistort(tracks.x, tracks.y))
    return history
