"""Match tracks of the left image in the right image of a stereo pair."""

from __future__ import annotations

from dataclasses import fields

import cv2
import numpy as np

from superpoint_rknn.tracking.camera_model import CameraModel
from superpoint_rknn.tracking.optical_flow import epipolar_inliers, lucas_kanade
from superpoint_rknn.tracking.row_alignment import MIN_SEEDS, RowAlignment
from superpoint_rknn.tracking.row_search import PairSearch
from superpoint_rknn.tracking.tracker import TrackSettings
from superpoint_rknn.tracking.tracks import Tracks

MAX_SEED_ERROR = 1.0  # [px] from the epipolar line
SEARCH_PERIOD = 8  # [pairs] after which a track is searched again
WINDOW = (9, 9)  # [px] of Lucas-Kanade, small for points at depth edges
CRITERIA = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 10, 0.03)  # iterations, step [px]
MAX_STEP = 0.7  # [px] of Lucas-Kanade from the best place of the search


class StereoMemory:
    """Offsets, right - left, of the tracks of the last stereo pair."""

    def __init__(self) -> None:
        self._pairs = 0
        self._keys: np.ndarray = np.zeros(0, np.int64)
        self._offsets: np.ndarray = np.zeros((0, 2))  # NaN: not found

    def recall(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """
        Return the offsets of tracks, (N, 2), NaN if unknown, and which must be searched, (N,).

        These are new tracks, and every track once in SEARCH_PERIOD pairs.
        """
        self._pairs += 1
        offsets = np.full((len(keys), 2), np.nan)
        _, now, before = np.intersect1d(keys, self._keys, True, return_indices=True)
        offsets[now] = self._offsets[before]
        is_due = (keys + self._pairs) % SEARCH_PERIOD == 0
        is_due |= ~np.isin(keys, self._keys, assume_unique=True)
        return offsets, is_due

    def store(self, keys: np.ndarray, offsets: np.ndarray) -> None:
        """Store the offsets of all tracks of a pair."""
        self._keys, self._offsets = keys.copy(), offsets


def match_stereo(
    left: np.ndarray,
    right: np.ndarray,
    tracks: Tracks,
    settings: TrackSettings,
    camera_models: tuple[CameraModel | None, CameraModel | None] = (None, None),
    memory: StereoMemory | None = None,
) -> Tracks:
    """
    Return the tracks of the left image that are found in the right one, with positions there.

    The patch around a point is searched along its row of the right image, and the patch found
    there along the row of the left one: it must lead back. A track found in the last pair is
    searched near its last offset first. Lucas-Kanade finds the final position; epipolar outliers
    are removed.

    left, right: (height, width) uint8, taken at the same time.
    settings: `forward_backward` and `epipolar` are used.
    camera_models: left and right; if both are given, the epipolar test uses undistorted points.
    memory: of the pairs before; None: there are none.
    Raises ValueError if the images are of different sizes.
    """
    if right.shape != left.shape:
        raise ValueError(
            f'right image: (height, width) {right.shape}, expected {left.shape} as the left image'
        )
    if not len(tracks):
        return tracks
    memory = StereoMemory() if memory is None else memory
    points = np.stack([tracks.x, tracks.y], axis=1).astype(np.float32)
    offsets, is_due = memory.recall(tracks.key)
    matches = _match((left, right), points, offsets, is_due, settings.forward_backward)
    memory.store(tracks.key, matches - points)
    is_good = np.isfinite(matches).all(axis=1)
    is_good[is_good] = _epipolar_inliers(
        points[is_good], matches[is_good], settings.epipolar, *camera_models
    )
    kept = {field.name: getattr(tracks, field.name)[is_good] for field in fields(Tracks)}
    return Tracks(**kept | {'x': matches[is_good, 0], 'y': matches[is_good, 1]})


def _match(
    images: tuple[np.ndarray, np.ndarray],
    points: np.ndarray,
    offsets: np.ndarray,
    is_due: np.ndarray,
    forward_backward: float,
) -> np.ndarray:
    """
    Return the positions of points in the right image, (N, 2) float32, NaN if not found.

    offsets: those in the last pair, (N, 2); NaN: unknown. is_due: True for points to search.
    """
    known = np.isfinite(offsets[:, 0])
    seeds, shifts = points[known], offsets[known]
    if len(seeds) < MIN_SEEDS:
        moved, is_good = lucas_kanade(*images, points, forward_backward)
        is_good[is_good] = epipolar_inliers(points[is_good], moved[is_good], MAX_SEED_ERROR)
        seeds, shifts = points[is_good], (moved - points)[is_good]
    columns, rows = np.median(shifts, axis=0) if len(seeds) >= MIN_SEEDS else (0.0, 0.0)
    if abs(rows) <= abs(columns):
        side = -1 if columns > 0 else 1
        return _match_rows(images, points, offsets, is_due, seeds, shifts, forward_backward, side)
    # Cameras above each other: exchange x and y.
    left, right = (np.ascontiguousarray(image.T) for image in images)
    points, offsets, seeds, shifts = (
        np.ascontiguousarray(each[:, ::-1]) for each in (points, offsets, seeds, shifts)
    )
    side = -1 if rows > 0 else 1
    return _match_rows(
        (left, right), points, offsets, is_due, seeds, shifts, forward_backward, side
    )[:, ::-1]


def _match_rows(
    images: tuple[np.ndarray, np.ndarray],
    points: np.ndarray,
    offsets: np.ndarray,
    is_due: np.ndarray,
    seeds: np.ndarray,
    shifts: np.ndarray,
    forward_backward: float,
    side: int,
) -> np.ndarray:
    """
    Match points by search along the rows, see _match.

    seeds, shifts: points and offsets, (M, 2), by which the rows of the images are aligned.
    side: see PairSearch.
    """
    height, width = images[0].shape
    size = max(height, width)
    there = RowAlignment.fit(seeds, seeds + shifts, size)
    back = RowAlignment.fit(seeds + shifts, seeds, size)
    search = PairSearch(*images, side)
    matches = np.full_like(points, np.nan)
    known = np.flatnonzero(~is_due & np.isfinite(offsets[:, 0]))
    if len(known):
        matches[known] = search.follow(points[known], offsets[known, 0], there)
    is_lost = np.isfinite(offsets[:, 0]) & ~np.isfinite(matches[:, 0])
    due = np.flatnonzero(is_due | is_lost)
    if len(due):
        found = search.find(points[due], there)
        error = np.abs((search.find_back(found, back) - points[due])[:, 0])
        matches[due] = np.where((error <= forward_backward)[:, None], found, np.nan)
    rows = np.flatnonzero(np.isfinite(matches[:, 0]))
    if len(rows):
        matches[rows] = _settle(images, points[rows], matches[rows])
    with np.errstate(invalid='ignore'):
        is_inside = ((matches >= 0) & (matches <= (width - 1, height - 1))).all(axis=1)
    matches[~is_inside] = np.nan
    return matches


def _settle(
    images: tuple[np.ndarray, np.ndarray], points: np.ndarray, matches: np.ndarray
) -> np.ndarray:
    """
    Move matches by Lucas-Kanade, where it ends within MAX_STEP.

    Elsewhere, at depth edges and on lines along the rows, the match of the search is better.
    """
    moved, found, _ = cv2.calcOpticalFlowPyrLK(
        *images,
        points,
        matches.copy(),
        winSize=WINDOW,
        maxLevel=0,
        criteria=CRITERIA,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    is_near = (found[:, 0] != 0) & (np.abs(moved - matches).max(axis=1) <= MAX_STEP)
    return np.where(is_near[:, None], moved, matches)


def _epipolar_inliers(
    left: np.ndarray,
    right: np.ndarray,
    tolerance: float,
    left_model: CameraModel | None,
    right_model: CameraModel | None,
) -> np.ndarray:
    """Return True for inliers, (N,) bool, of one fundamental matrix; left, right: (N, 2) [px]."""
    if left_model is None or right_model is None:
        return epipolar_inliers(left, right, tolerance)
    left = left_model.focal * left_model.undistort(*left.T)
    right = right_model.focal * right_model.undistort(*right.T)
    is_valid = np.isfinite(left).all(axis=1) & np.isfinite(right).all(axis=1)
    is_inlier = np.logical_not(is_valid)  # points without a direction are not tested
    is_inlier[is_valid] = epipolar_inliers(
        left[is_valid].astype(np.float32), right[is_valid].astype(np.float32), tolerance
    )
    return is_inlier
