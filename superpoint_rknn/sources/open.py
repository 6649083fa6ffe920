"""Open a source of images: a folder of pictures, a picture, a video or a rosbag."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from superpoint_rknn.sources.files import Pictures, Video
from superpoint_rknn.sources.frame import Frame

if TYPE_CHECKING:
    from superpoint_rknn.sources.bag import Bag

PICTURES = {'.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp'}
VIDEOS = {'.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.webm'}
BAGS = {'.bag', '.db3', '.mcap'}


def open_source(path: Path, topic: str | None = None) -> Pictures | Video | Bag:
    """
    Open a folder of pictures (in natural order), a picture, a video or a rosbag.

    topic: image topic of a bag; None: the one with the most messages.
    Returns an iterable of Frame that can be iterated over several times, with a len() if known.
    Raises FileNotFoundError, or ValueError if it has no images or can't be read.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f'{path}: no such file or folder')
    suffix = path.suffix.lower()
    if suffix in BAGS or (path / 'metadata.yaml').is_file():
        try:
            from superpoint_rknn.sources.bag import Bag
        except ModuleNotFoundError as error:
            raise ValueError(
                f'{path}: bags need the module {error.name}: pip install {error.name}'
            ) from error
        return Bag(path, topic)
    if path.is_dir():
        pictures = [p for p in path.iterdir() if p.suffix.lower() in PICTURES]
        if not pictures:
            raise ValueError(f'{path}: no pictures ({", ".join(sorted(PICTURES))}) in this folder')
        return Pictures(sorted(pictures, key=_natural))
    if suffix in PICTURES:
        return Pictures([path])
    if suffix in VIDEOS:
        return Video(path)
    known = ', '.join(sorted(PICTURES | VIDEOS | BAGS))
    raise ValueError(f'{path}: unknown suffix {suffix!r}, expected a folder or {known}')


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
