"""Open a source of images: pictures, a video, a rosbag or a sequence in EuRoC's format."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from superpoint_rknn.dependencies import pip_install
from superpoint_rknn.sources.files import Pictures, Video
from superpoint_rknn.sources.frame import Frame
from superpoint_rknn.sources.recording import METADATA, RECORDINGS, euroc_cameras, is_recording

if TYPE_CHECKING:
    from superpoint_rknn.sources.bag import Bag

PICTURES = {'.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp'}
VIDEOS = {'.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.webm'}


def open_source(path: Path, topic: str | None = None) -> Pictures | Video | Bag:
    """
    Open pictures (a folder, in natural order), a picture, a video, a rosbag or a EuRoC sequence.

    topic: image topic of a recording; None: the one with the most messages.
    Returns an iterable of Frame that can be iterated over several times, with a len() if known.
    Raises FileNotFoundError, or ValueError if it has no images or can't be read.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f'{path}: no such file or folder')
    suffix = path.suffix.lower()
    if path.is_dir() and not (path / METADATA).is_file():
        pictures = [p for p in path.iterdir() if p.suffix.lower() in PICTURES]
        if pictures:
            return Pictures(sorted(pictures, key=_natural))
    if is_recording(path) or euroc_cameras(path):
        return _open_bag(path, topic)
    if path.is_dir():
        raise ValueError(f'{path}: no pictures ({", ".join(sorted(PICTURES))}) in this folder')
    if suffix in PICTURES:
        return Pictures([path])
    if suffix in VIDEOS:
        return Video(path)
    known = ', '.join(sorted([*PICTURES, *VIDEOS, *RECORDINGS]))
    raise ValueError(f'{path}: unknown suffix {suffix!r}, expected a folder or {known}')


def _open_bag(path: Path, topic: str | None) -> Bag:
    try:
        from superpoint_rknn.sources.bag import Bag
    except ModuleNotFoundError as error:
        raise ValueError(
            f'{path}: recordings need {error.name}: ' + pip_install('rosbags')
        ) from error
    return Bag(path, topic)


def _natural(path: Path) -> list[int | str]:
    """Sort key of the natural order: image2 before image10."""
    pieces = re.split(r'(\d+)', path.name.lower())
    return [int(piece) if piece.isdecimal() else piece for piece in pieces]


def thinned(source: Pictures | Video | Bag | Sequence[Frame], limit: int) -> Iterator[Frame]:
    """Iterate over at most `limit` images: evenly spread if their number is known."""
    try:
        step = max(1, -(-len(source) // limit))
    except TypeError:
        step = 1
    return islice(islice(source, 0, None, step), limit)
