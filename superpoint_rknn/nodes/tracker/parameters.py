"""The tracker node's parameters."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from superpoint_rknn.nodes.common.camera_names import (
    CAMERAS,
    STEREO,
    SYNC_TOLERANCE,
    check_cameras,
)
from superpoint_rknn.nodes.common.parameters import AUTOSTART, OVERLAY_RATE, Parameter
from superpoint_rknn.tracking.tracker import MOST_TRACKS, TrackSettings

PARAMETERS = (
    AUTOSTART,
    CAMERAS,
    STEREO,
    SYNC_TOLERANCE,
    Parameter(
        'image_transport',
        'raw',
        'raw: sensor_msgs/Image on `image`; compressed: sensor_msgs/CompressedImage beside it.',
        choices=('raw', 'compressed'),
        read_only=True,
    ),
    Parameter('max_tracks', 200, 'Most tracks at a time.', limits=(1, MOST_TRACKS)),
    Parameter(
        'min_distance',
        15.0,
        'No track begins nearer than this to another; of two that come nearer than half of it '
        'the younger ends [px].',
        limits=(0.0, 1000.0),
    ),
    Parameter(
        'grid',
        [5, 8],
        'Rows and columns of image parts; tracks begin first where there are the fewest.',
    ),
    Parameter(
        'min_texture',
        0.003,
        'Least eigenvalue of the gradients around a keypoint at which a track begins, as OpenCV '
        'scales it; 0: any. It falls with the square of the contrast.',
        limits=(0.0, 1.0),
    ),
    Parameter(
        'snap_radius',
        2.0,
        "A keypoint this near is the track's own, and keeps it from drifting [px].",
        limits=(0.0, 100.0),
    ),
    Parameter(
        'snap_gain',
        0.2,
        'Share of the way to its keypoint that a track moves in each image: 1 follows the '
        "detector's jitter, 0 lets tracks drift.",
        limits=(0.0, 1.0),
    ),
    Parameter(
        'forward_backward',
        1.0,
        'Most distance from its start of a point that is followed to the next image and back '
        '[px].',
        limits=(0.0, 100.0),
    ),
    Parameter(
        'epipolar',
        1.0,
        'Most distance from the epipolar line of the motion between two images [px]; 0: any.',
        limits=(0.0, 100.0),
    ),
    Parameter(
        'keypoints_wait',
        0.2,
        'Longest that an image waits for its keypoints, and for the other image of a stereo pair, '
        "before it is tracked without [s]; it isn't waited for what a later image shows to be "
        'dropped.',
        limits=(0.0, 10.0),
    ),
    Parameter(
        'feature.format',
        'off',
        'Message on `feature`: for VINS-Fusion (nine channels) or VINS-Mono (five).',
        choices=('off', 'vins_fusion', 'vins_mono'),
    ),
    Parameter(
        'feature.rate',
        0.0,
        'Most messages on `feature` [Hz]; 0: one for every image.',
        limits=(0.0, 1000.0),
    ),
    OVERLAY_RATE,
)


def track_settings_of(
    values: dict[str, Any], changed: set[str], before: TrackSettings | None
) -> TrackSettings:
    """Settings that the values of PARAMETERS state; ValueError with the reason if one is bad."""
    check_cameras(values['cameras'], values['stereo'])
    return TrackSettings(**{f.name: values[f.name] for f in fields(TrackSettings)})
