"""Which cameras a node serves, and what their topics and parameters are called."""

from __future__ import annotations

import re
from dataclasses import dataclass

from superpoint_rknn.settings import ParameterGroup, parameter

MOST_CAMERAS = 16
NAME = re.compile(r'[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*')


@dataclass(frozen=True)
class CameraSettings(ParameterGroup):
    """Which cameras a node serves. Raises ValueError for names that are refused."""

    cameras: tuple[str, ...] = parameter(
        ('',),
        "Names of the cameras: 'cam0' has its topics below `cam0/`. One empty name: one camera, "
        'whose topics have no prefix.',
        read_only=True,
    )
    stereo: bool = parameter(
        False,
        'Cameras come in pairs, the first and the second, the third and the fourth, ...: both '
        'images of one stamp are taken together, or neither.',
        read_only=True,
    )
    sync_tolerance: float = parameter(
        0.005,
        'Highest difference between the stamps of the two images of a stereo pair, below half the '
        'time between two images.',
        unit='s',
        limits=(0, 1),
        read_only=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_cameras(list(self.cameras), self.stereo)


def check_cameras(names: list[str], stereo: bool) -> None:
    """Raise ValueError with the reason unless these are names of cameras, or of stereo pairs."""
    if not 1 <= len(names) <= MOST_CAMERAS:
        raise ValueError(f'cameras: {len(names)} names, expected 1 to {MOST_CAMERAS}')
    if names != ['']:
        for name in names:
            if not NAME.fullmatch(name):
                raise ValueError(
                    f'cameras: {name!r} is no name: expected letters, digits, _ and / between '
                    'parts, without a / in front'
                )
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f'cameras: {sorted(twice)[0]!r} is there twice')
    if stereo and len(names) % 2:
        raise ValueError(f'stereo: {len(names)} cameras, {names}, expected pairs')


def groups_of(names: list[str], stereo: bool) -> list[list[str]]:
    """Names of cameras that are taken together: pairs, or each by itself."""
    size = 2 if stereo else 1
    return [list(names[i : i + size]) for i in range(0, len(names), size)]


def topic_of(camera: str, topic: str) -> str:
    """Name of a camera's topic."""
    return f'{camera}/{topic}' if camera else topic


def parameter_of(camera: str, name: str) -> str:
    """Name of a camera's own parameter."""
    return f'{camera.replace("/", ".")}.{name}'


def title_of(camera: str) -> str:
    """Name of a camera for people."""
    return camera or 'camera'
