"""Track keypoints over time by Lucas-Kanade, an outlier test and re-association."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import numpy as np

from superpoint_rknn.features.keypoints import Keypoints
from superpoint_rknn.tracking.camera_model import CameraModel
from superpoint_rknn.tracking.drift import is_at_its_point
from superpoint_rknn.tracking.late_keypoints import RecentImages, TrackPoints, follow
from superpoint_rknn.tracking.optical_flow import epipolar_inliers, has_texture, lucas_kanade
from superpoint_rknn.tracking.point_distances import (
    greedy_min_distance,
    is_far_from,
    mutual_nearest,
    select_new_tracks,
)
from superpoint_rknn.tracking.reassociation import DescriptorMemory
from superpoint_rknn.tracking.settings import TrackSettings
from superpoint_rknn.tracking.tracks import NO_TRACKS, LiveTracks, Tracks

MAX_HISTORY = 256  # [images] tracks are kept for descriptors that arrive later
MAX_LOST_AGE = 300  # [images] after which a lost track is not re-associated


class Tracker:
    """
    Track keypoints through the images of one camera. Not thread-safe.

    Each image: Lucas-Kanade, forward-backward test and epipolar test, in every second image also
    against an earlier one. In images with keypoints, tracks snap to their keypoints, which limits
    drift, and new tracks begin.
    `settings` may be replaced between calls.

    track_points: tracks points to the next image, with the interface of lucas_kanade.
    """

    def __init__(
        self, settings: TrackSettings | None = None, track_points: TrackPoints = lucas_kanade
    ):
        self.settings = settings or TrackSettings()
        self.counts = {'born': 0, 'born_late': 0, 'lost': 0, 'recognised': 0}
        self._track_points = track_points
        self._next_key = 0
        self._images = 0
        self.restart()

    def restart(self) -> None:
        """End all tracks and discard their descriptors."""
        self._image: np.ndarray | None = None
        self._recent = RecentImages()
        self._live = NO_TRACKS
        # timestamp, keys and points of each image
        self._history: deque[tuple[int, np.ndarray, np.ndarray]] = deque(maxlen=MAX_HISTORY)
        self._memory = DescriptorMemory()

    def track(
        self,
        image: np.ndarray,
        stamp: int,
        keypoints: Keypoints | None = None,
        camera_model: CameraModel | None = None,
    ) -> Tracks:
        """
        Track all points into the next image; return the tracks there.

        image: (height, width) uint8; kept for keypoints that arrive late, so do not change it. A
        new size restarts the tracker.
        stamp: timestamp of the image; `add_keypoints` and `add_descriptors` refer to it.
        keypoints: of this image; None if the detector did not process it.
        camera_model: for a more precise epipolar test; None if unknown.
        """
        if self._image is not None and image.shape != self._image.shape:
            self.restart()
        self._images += 1
        live = self._live
        if self._image is not None and len(live):
            live = self._track_live(self._image, image, live, camera_model)
        if keypoints is not None:
            found = np.stack([keypoints.x, keypoints.y], axis=1)
            live = self._snap(live, found, keypoints.score)
        live = live[greedy_min_distance(live.points, self.settings.min_distance / 2)]
        live = live[: self.settings.max_tracks]
        self._record_lost(self._live, live)
        if keypoints is not None:
            index = self._select_new(image, live.points, found, keypoints.score)
            live = live + self._begin(found[index], keypoints.score[index], self._images)
        self._image, self._live = image, live
        self._recent.add(stamp, image)
        self._history.append((stamp, live.key, live.points))
        return self._tracks()

    def add_keypoints(self, stamp: int, keypoints: Keypoints) -> int | None:
        """
        Add keypoints of an image that was tracked without: new tracks begin at them.

        They are followed to the newest image; the tracks begin in the next one.

        stamp: as given to `track`.
        Returns the number of new tracks; None if the image is no longer kept.
        """
        images = self._recent.since(stamp)
        if not images:
            return None
        if len(self._live) >= self.settings.max_tracks:
            return 0
        row = next(i for i, entry in enumerate(self._history) if entry[0] == stamp)
        _, key, tracked = self._history[row]
        found = np.stack([keypoints.x, keypoints.y], axis=1)
        # Following costs most of the time: only for keypoints that could begin a track there.
        index = self._select_new(images[0], tracked, found, keypoints.score)
        points, kept = follow(
            images, found[index], self._track_points, self.settings.forward_backward
        )
        index = index[kept]
        selected = self._select_new(images[-1], self._live.points, points, keypoints.score[index])
        index = index[selected]
        new = self._begin(points[selected], keypoints.score[index], self._images + 1)
        self.counts['born_late'] += len(new)
        self._live = self._live + new
        # Descriptors of that image are for these keypoints, too.
        self._history[row] = (
            stamp,
            np.concatenate([key, new.key]),
            np.concatenate([tracked, found[index]]),
        )
        return len(new)

    def add_descriptors(
        self, stamp: int, x: np.ndarray, y: np.ndarray, descriptors: np.ndarray, model: str
    ) -> int:
        """
        Add the descriptors of an image, possibly an older one, and re-associate lost tracks.

        A track that continues a lost one takes over its id and age, from the next image on.

        stamp: as given to `track`. x, y: (N,) float32 keypoints of that image [px].
        descriptors: (N, C) float32 of unit length.
        model: name of the model; descriptors of different models are never compared.
        Returns the number of re-associated tracks; 0 if the image is no longer in the history.
        """
        entry = next((entry for entry in reversed(self._history) if entry[0] == stamp), None)
        if entry is None:
            return 0
        _, key, points = entry
        found = np.stack([x, y], axis=1)
        index = mutual_nearest(points, found, max(self.settings.snap_radius, 1.0))
        key, index = key[index >= 0], index[index >= 0]
        first = self._memory.add_descriptors(key, descriptors[index], model)
        key, index = key[first], index[first]
        _, rows, selected = np.intersect1d(self._live.key, key, return_indices=True)
        known, ids, born = self._memory.match(
            descriptors[index[selected]], self._live.born[rows], self._images - MAX_LOST_AGE
        )
        if len(known):
            self._rename(rows[known], ids, born)
        self.counts['recognised'] += len(known)
        return len(known)

    def _track_live(
        self,
        before: np.ndarray,
        image: np.ndarray,
        live: LiveTracks,
        camera_model: CameraModel | None,
    ) -> LiveTracks:
        """Track all points from image `before`; remove lost ones and outliers."""
        points, is_good = self._track_points(
            before, image, live.points, self.settings.forward_backward
        )
        is_good[is_good] = epipolar_inliers(
            live.points[is_good], points[is_good], self.settings.epipolar, camera_model
        )
        live = replace(live, points=points)[is_good]
        tolerance = self.settings.epipolar
        return live[is_at_its_point(self._images, self._history, live, tolerance, camera_model)]

    def _snap(self, live: LiveTracks, found: np.ndarray, score: np.ndarray) -> LiveTracks:
        """Move tracks towards their keypoints and update their scores."""
        index = mutual_nearest(live.points, found, self.settings.snap_radius)
        rows = np.flatnonzero(index >= 0)
        index = index[rows]
        points, scores = live.points.copy(), live.score.copy()
        points[rows] += np.float32(self.settings.snap_gain) * (found[index] - points[rows])
        scores[rows] = score[index]
        return replace(live, points=points, score=scores)

    def _select_new(
        self, image: np.ndarray, tracked: np.ndarray, found: np.ndarray, score: np.ndarray
    ) -> np.ndarray:
        """
        Select textured keypoints that are far enough from all tracks for new tracks.

        tracked: (N, 2) points of the tracks; found, score: (M, 2), (M,) of the keypoints.
        Returns their indices, (K,), highest score first.
        """
        settings = self.settings
        wanted = settings.max_tracks - len(tracked)
        if wanted <= 0:
            return np.zeros(0, np.intp)
        index = np.flatnonzero(is_far_from(found, tracked, settings.min_distance))
        index = index[has_texture(image, found[index], tracked, settings.min_texture)]
        limits = (settings.min_distance, settings.grid, image.shape)
        index = index[select_new_tracks(tracked, found[index], wanted, *limits)]
        return index[np.argsort(-score[index], kind='stable')]

    def _begin(self, points: np.ndarray, score: np.ndarray, image: int) -> LiveTracks:
        """Return new tracks from image number `image` on."""
        new = LiveTracks.new(self._next_key, image, points, score)
        self._next_key += len(new)
        self.counts['born'] += len(new)
        return new

    def _record_lost(self, before: LiveTracks, after: LiveTracks) -> None:
        """Record the tracks that are in `before` but not in `after` as lost."""
        lost = before[~np.isin(before.key, after.key, assume_unique=True)]
        self._memory.add_lost(lost.key, lost.id, lost.born, self._images)
        self.counts['lost'] += len(lost)

    def _rename(self, rows: np.ndarray, ids: np.ndarray, born: np.ndarray) -> None:
        """Replace ids and births of tracks by those of the lost tracks that they continue."""
        live = replace(self._live, id=self._live.id.copy(), born=self._live.born.copy())
        live.id[rows], live.born[rows] = ids, born
        self._live = live[np.argsort(live.born, kind='stable')]

    def _tracks(self) -> Tracks:
        live = self._live
        return Tracks(
            live.id.astype(np.uint32),
            (self._images - live.born + 1).astype(np.uint32),
            live.points[:, 0].copy(),
            live.points[:, 1].copy(),
            live.score,
            live.key,
        )
