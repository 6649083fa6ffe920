"""Parameters of the extractor, and removed parameters; the nodes add their own."""

from __future__ import annotations

from collections.abc import Iterable

from superpoint_rknn.extractor import Settings
from superpoint_rknn.features.input_range import InputSettings
from superpoint_rknn.features.keypoints import DetectorSettings
from superpoint_rknn.runtimes.open import RuntimeSettings
from superpoint_rknn.settings import nearest_name

FEATURES = (
    *Settings.parameters(),
    *DetectorSettings.parameters(),
    *InputSettings.parameters(),
)
SUPERPOINT = (*RuntimeSettings.parameters(), *FEATURES)
# Removed parameters and what to do instead.
REMOVED = {'deterministic': 'replay bags with `superpoint_rknn replay`, which loses no image'}


def unknown_parameter(name: str, known: Iterable[str]) -> str:
    """Return the error message for an unknown parameter, with the nearest of the known names."""
    if name in REMOVED:
        return f'the parameter {name!r} was removed: {REMOVED[name]}'
    nearest = nearest_name(name, known)
    return f'no parameter {name!r}' + (f', the nearest is {nearest!r}' if nearest else '')
