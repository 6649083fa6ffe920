"""Parameters that name the cameras of a node; names of their topics and parameters."""

from __future__ import annotations

import re
from dataclasses import dataclass

from superpoint_rknn.settings import ParameterGroup, parameter, short_repr

MAX_CAMERAS = 16
NAME = re.compile(r'[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*')


@dataclass(frozen=True)
class CameraSettings(ParameterGroup):
    """The cameras of a node. Raises ValueError for invalid names."""

    cameras: tuple[str, ...] = parameter(
        ('',),
        "Names of the cameras; the topics of 'cam0' begin with `cam0/`. One empty name: one "
        'camera, whose topics have no prefix.',
        read_only=True,
    )
    stereo: bool = parameter(
        False,
        'The cameras are stereo pairs, the first and the second, the third and the fourth, ...: '
        'the two images with the same stamp are processed together.',
        read_only=True,
    )
    sync_tolerance: float = parameter(
        0.005,
        'Maximum difference between the stamps of the two images of a stereo pair; set it below '
        'half the time between two images.',
        unit='s',
        limits=(0, 1),
        read_only=True,
    )

    mono_fallback: bool = parameter(
        False,
        'If one camera of a stereo pair sends no images for 2 s, process those of the other one '
        'alone until they come.',
        read_only=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_cameras(list(self.cameras), self.stereo)


def check_cameras(names: list[str], stereo: bool) -> None:
    """Raise ValueError with the reason unless these are valid names of cameras or stereo pairs."""
    if not 1 <= len(names) <= MAX_CAMERAS:
        raise ValueError(f'cameras: {len(names)} names, expected 1 to {MAX_CAMERAS}')
    if names != ['']:
        for name in names:
            if not NAME.fullmatch(name):
                raise ValueError(
                    f'cameras: {short_repr(name)} is not a valid name: expected letters, digits '
                    'and _, parts separated by /, without a leading /'
                )
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f'cameras: {short_repr(sorted(twice)[0])} is listed twice')
    if stereo and len(names) % 2:
        raise ValueError(f'stereo: {len(names)} cameras, {names}, expected an even number')


def groups_of(names: list[str], stereo: bool) -> list[list[str]]:
    """Group the names of cameras: stereo pairs, or single cameras."""
    size = 2 if stereo else 1
    return [list(names[i : i + size]) for i in range(0, len(names), size)]


def topic_of(camera: str, topic: str) -> str:
    """Name of a camera's topic."""
    return f'{camera}/{topic}' if camera else topic


def parameter_of(camera: str, name: str) -> str:
    """Name of a camera's own parameter."""
    return f'{camera.replace("/", ".")}.{name}'


def title_of(camera: str) -> str:
    """Name of a camera in diagnostics; 'camera' for the one without a name."""
    return camera or 'camera'
