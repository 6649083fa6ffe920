"""Which cameras a node serves, and what their topics and parameters are called."""

from __future__ import annotations

import re

from superpoint_rknn.nodes.common.parameters import Parameter

MOST_CAMERAS = 16
NAME = re.compile(r'[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*')

CAMERAS = Parameter(
    'cameras',
    [''],
    "Names of the cameras: 'cam0' has its topics below `cam0/`. One empty name: one camera, whose "
    'topics have no prefix.',
    read_only=True,
)
STEREO = Parameter(
    'stereo',
    False,
    'Cameras come in pairs, the first and the second, the third and the fourth, ...: both images '
    'of one stamp are taken together.',
    read_only=True,
)
SYNC_TOLERANCE = Parameter(
    'sync_tolerance',
    0.005,
    'Most difference between the stamps of the two images of a stereo pair, below half the time '
    'between two images [s].',
    limits=(0.0, 1.0),
    read_only=True,
)


def check_cameras(names: list[str], stereo: bool) -> None:
    """Raise ValueError with the reason unless these are names of cameras, or of stereo pairs."""
    names = list(names)
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
