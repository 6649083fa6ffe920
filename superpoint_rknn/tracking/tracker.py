"""Keypoints over time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from superpoint_rknn.features.keypoints import Keypoints
from superpoint_rknn.settings import ParameterGroup, parameter
from superpoint_rknn.tracking.camera_model import CameraModel
from superpoint_rknn.tracking.live_tracks import NOBODY, LiveTracks
from superpoint_rknn.tracking.optical_flow import follow, move_together, texture
from superpoint_rknn.tracking.point_distances import apart, away, nearest, newcomers
from superpoint_rknn.tracking.reassociation import Memory

STATES = 256  # images whose tracks are remembered, for descriptors that come late
REMEMBERED = 300  # images for which a lost track may be recognised
MOST_TRACKS = 2000
MOST_PARTS = 64  # of the grid, along each axis

Follow = Callable[[np.ndarray, np.ndarray, np.ndarray, float], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class TrackSettings(ParameterGroup):
    """
    How keypoints are tracked; lengths are pixels of the camera image.

    Raises ValueError for a setting outside its range.
    """

    max_tracks: int = parameter(
        200, 'Highest number of tracks at a time.', limits=(1, MOST_TRACKS)
    )
    min_distance: float = parameter(
        15.0,
        'Least distance of a new track to all others; of two tracks nearer than half of it the '
        'younger ends.',
        unit='px',
        limits=(0, 1000),
    )
    grid: tuple[int, int] = parameter(
        (5, 8),
        'Rows and columns of image parts; tracks begin first where there are the fewest.',
        limits=(1, MOST_PARTS),
    )
    min_texture: float = parameter(
        0.003,
        'Least texture around a keypoint where a track begins: the lower eigenvalue of its '
        'gradients, as OpenCV scales it, which falls with the square of the contrast; 0: any.',
        limits=(0, 1),
    )
    snap_radius: float = parameter(
        2.0,
        'A track moves towards a keypoint within this distance, which keeps it from drifting; '
        '0: never.',
        unit='px',
        limits=(0, 100),
    )
    snap_gain: float = parameter(
        0.2,
        'Share of the distance to its keypoint that a track moves in each image: 1 follows the '
        "detector's jitter, 0 lets tracks drift.",
        limits=(0, 1),
    )
    forward_backward: float = parameter(
        1.0,
        'Highest distance from its start of a point that is tracked to the next image and back.',
        unit='px',
        limits=(0, 100),
    )
    epipolar: float = parameter(
        1.0,
        'Highest distance from the epipolar line of the motion between two images; 0: not tested.',
        unit='px',
        limits=(0, 100),
    )


@dataclass(frozen=True)
class Tracks:
    """Points that are followed, oldest first; all (N,)."""

    id: np.ndarray  # uint32, never reused
    age: np.ndarray  # uint32, images since the track began, 1 at its first
    x: np.ndarray  # float32 [px]
    y: np.ndarray  # float32 [px]
    score: np.ndarray  # float32, of the keypoint that it was last seen at
    key: np.ndarray  # int64, as the id, but new after a gap: for who assumes that there is none

    def __len__(self) -> int:
        return len(self.id)


class Tracker:
    """
    Follows keypoints through the images of one camera; for one thread at a time.

    Between images by Lucas-Kanade, checked there and back and against one motion of the camera;
    where an image has keypoints, tracks are drawn to theirs, so that they don't drift, and new
    ones begin where there are none. `settings` may be replaced at any time.

    follow: finds points in the next image, see flow.follow.
    """

    def __init__(self, settings: TrackSettings | None = None, follow: Follow = follow):
        self.settings = settings or TrackSettings()
        self.counts = {'born': 0, 'lost': 0, 'recognised': 0}
        self._follow = follow
        self._next_key = 0
        self._images = 0
        self.restart()

    def restart(self) -> None:
        """End all tracks and forget them: what comes next doesn't continue what was before."""
        self._image: np.ndarray | None = None
        self._live = NOBODY
        self._states: deque[tuple[int, np.ndarray, np.ndarray]] = deque(maxlen=STATES)
        self._memory = Memory()

    def track(
        self,
        image: np.ndarray,
        stamp: int,
        keypoints: Keypoints | None = None,
        camera_model: CameraModel | None = None,
    ) -> Tracks:
        """
        Follow all tracks into the next image; returns where they are there.

        image: (height, width) uint8; kept until the next call. Another size is a restart.
        stamp: of the image; a name by which `describe` finds it.
        keypoints: of this image; None if there are none to be had.
        lens: of the camera, for a sharper test of outliers; None if it isn't known.
        """
        if self._image is not None and image.shape != self._image.shape:
            self.restart()
        self._images += 1
        live = self._live
        if self._image is not None and len(live):
            live = self._followed(self._image, image, live, camera_model)
        if keypoints is not None:
            found = np.stack([keypoints.x, keypoints.y], axis=1)
            live = self._snapped(live, found, keypoints.score)
        live = live[apart(live.points, self.settings.min_distance / 2)]
        live = live[: self.settings.max_tracks]
        self._lose(self._live, live)
        if keypoints is not None:
            live = live + self._begun(image, live, found, keypoints.score)
        self._image, self._live = image, live
        self._states.append((stamp, live.key, live.points))
        return self._tracks()

    def describe(
        self, stamp: int, x: np.ndarray, y: np.ndarray, descriptors: np.ndarray, model: str
    ) -> int:
        """
        Take the descriptors of an image, maybe an older one, and recognise lost tracks by them.

        A track that continues a lost one takes over its id and age, from the next image on.

        stamp: as given to `track`. x, y: (N,) float32 keypoints of that image [px].
        descriptors: (N, C) float32 of unit length. model: descriptors of two don't mix.
        Returns how many were recognised; 0 also if that image isn't remembered.
        """
        state = next((s for s in reversed(self._states) if s[0] == stamp), None)
        if state is None:
            return 0
        _, key, points = state
        found = np.stack([x, y], axis=1)
        index = nearest(points, found, max(self.settings.snap_radius, 1.0))
        key, index = key[index >= 0], index[index >= 0]
        first = self._memory.describe(key, descriptors[index], model)
        key, index = key[first], index[first]
        _, rows, among = np.intersect1d(self._live.key, key, return_indices=True)
        known, identity, born = self._memory.recognise(
            descriptors[index[among]], self._live.born[rows], self._images - REMEMBERED
        )
        if len(known):
            self._rename(rows[known], identity, born)
        self.counts['recognised'] += len(known)
        return len(known)

    def _followed(
        self,
        before: np.ndarray,
        image: np.ndarray,
        live: LiveTracks,
        camera_model: CameraModel | None,
    ) -> LiveTracks:
        points, sound = self._follow(before, image, live.points, self.settings.forward_backward)
        sound[sound] = move_together(
            live.points[sound], points[sound], self.settings.epipolar, camera_model
        )
        return replace(live, points=points)[sound]

    def _snapped(self, live: LiveTracks, found: np.ndarray, score: np.ndarray) -> LiveTracks:
        """Tracks drawn towards their keypoints, and with those scores."""
        index = nearest(live.points, found, self.settings.snap_radius)
        rows = np.flatnonzero(index >= 0)
        index = index[rows]
        points, scores = live.points.copy(), live.score.copy()
        points[rows] += np.float32(self.settings.snap_gain) * (found[index] - points[rows])
        scores[rows] = score[index]
        return replace(live, points=points, score=scores)

    def _begun(
        self, image: np.ndarray, live: LiveTracks, found: np.ndarray, score: np.ndarray
    ) -> LiveTracks:
        """Tracks of the keypoints that are worth it and where there is room."""
        settings = self.settings
        wanted = settings.max_tracks - len(live)
        if not wanted:
            return NOBODY
        index = np.flatnonzero(away(found, live.points, settings.min_distance))
        index = index[texture(image, found[index]) >= settings.min_texture]
        place = (settings.min_distance, settings.grid, image.shape)
        index = index[newcomers(live.points, found[index], wanted, *place)]
        index = index[np.argsort(-score[index], kind='stable')]
        begun = LiveTracks.new(self._next_key, self._images, found[index], score[index])
        self._next_key += len(begun)
        self.counts['born'] += len(begun)
        return begun

    def _lose(self, before: LiveTracks, after: LiveTracks) -> None:
        lost = before[~np.isin(before.key, after.key, assume_unique=True)]
        self._memory.lose(lost.key, lost.id, lost.born, self._images)
        self.counts['lost'] += len(lost)

    def _rename(self, rows: np.ndarray, identity: np.ndarray, born: np.ndarray) -> None:
        """Give tracks the id and age of those that they continue."""
        live = replace(self._live, id=self._live.id.copy(), born=self._live.born.copy())
        live.id[rows], live.born[rows] = identity, born
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
