"""Settings of the tracker."""

from __future__ import annotations

from dataclasses import dataclass

from superpoint_rknn.settings import ParameterGroup, parameter

MAX_TRACKS = 2000
MAX_GRID = 64  # cells along each axis


@dataclass(frozen=True)
class TrackSettings(ParameterGroup):
    """
    Settings of the tracker; lengths are in pixels of the camera image.

    Raises ValueError for a setting outside its range.
    """

    max_tracks: int = parameter(200, 'Maximum number of tracks.', limits=(1, MAX_TRACKS))
    min_distance: float = parameter(
        15.0,
        'Minimum distance of a new track from all others; of two tracks nearer than half of it, '
        'the younger ends.',
        unit='px',
        limits=(0, 1000),
    )
    grid: tuple[int, int] = parameter(
        (5, 8),
        'Rows and columns of a grid; new tracks begin in the cells with the fewest tracks first.',
        limits=(1, MAX_GRID),
    )
    min_texture: float = parameter(
        0.025,
        'Minimum texture around a keypoint for a new track, as a share of that of the best point '
        'of the image, as in goodFeaturesToTrack: minimum eigenvalue of the gradient matrix '
        '(Shi-Tomasi); 0: any.',
        limits=(0, 1),
    )
    snap_radius: float = parameter(
        2.0,
        'Maximum distance between a track and the keypoint that it snaps to (moves towards), '
        'which limits drift; 0: no snapping.',
        unit='px',
        limits=(0, 100),
    )
    snap_gain: float = parameter(
        0.2,
        'Fraction of the distance to its keypoint that a track moves per image: 1 follows the '
        "detector's jitter, 0 lets tracks drift.",
        limits=(0, 1),
    )
    forward_backward: float = parameter(
        1.0,
        'Maximum distance of a point from its start after tracking to the next image and back.',
        unit='px',
        limits=(0, 100),
    )
    epipolar: float = parameter(
        1.0,
        'Maximum distance of an inlier from its epipolar line between two images; 0: no test.',
        unit='px',
        limits=(0, 100),
    )
