"""The tracker node's parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from superpoint_rknn.nodes.common.camera_names import CameraSettings
from superpoint_rknn.nodes.common.parameters import NodeSettings
from superpoint_rknn.settings import ParameterGroup, parameter
from superpoint_rknn.tracking.tracker import TrackSettings


@dataclass(frozen=True)
class TrackerSettings(ParameterGroup):
    """What the tracker node waits for and what it sends to an estimator."""

    keypoints_wait: float = parameter(
        0.2,
        'Longest time that an image waits for its keypoints, and for the other image of a stereo '
        'pair, before it is tracked without; it does not wait for keypoints of an image that a '
        'later one shows to be dropped.',
        unit='s',
        limits=(0, 10),
    )
    feature_format: str = parameter(
        'off',
        'Message on `feature`: for VINS-Fusion (nine channels) or VINS-Mono (five).',
        name='feature.format',
        choices=('off', 'vins_fusion', 'vins_mono'),
    )
    feature_rate: float = parameter(
        0.0,
        'Highest rate of messages on `feature`; 0: one for every image. The tracker of VINS-Mono '
        'sends 10.',
        name='feature.rate',
        unit='Hz',
        limits=(0, 1000),
    )


PARAMETERS = (
    *TrackSettings.parameters(),
    *TrackerSettings.parameters(),
    *CameraSettings.parameters(),
    *NodeSettings.parameters(),
)


def track_settings_of(
    values: dict[str, Any], changed: set[str], before: TrackSettings | None
) -> TrackSettings:
    """Settings that the values of PARAMETERS state; ValueError with the reason if one is bad."""
    CameraSettings.from_values(values)
    return TrackSettings.from_values(values)
