"""The parameters of the extractor, and which there were once; the nodes add their own."""

from __future__ import annotations

from superpoint_rknn.extractor import Settings
from superpoint_rknn.features.keypoints import DetectorSettings
from superpoint_rknn.runtimes.open import RuntimeSettings

SUPERPOINT = (
    *RuntimeSettings.parameters(),
    *Settings.parameters(),
    *DetectorSettings.parameters(),
)
# What to do instead of setting a parameter that was removed, by its name: one clause.
REMOVED = {'deterministic': 'replay bags by `superpoint_rknn replay`, which loses no image'}


def unknown_parameter(name: str) -> str:
    """Text for a name that no parameter has."""
    if name in REMOVED:
        return f'the parameter {name!r} was removed: {REMOVED[name]}'
    return f'no parameter {name!r}'
