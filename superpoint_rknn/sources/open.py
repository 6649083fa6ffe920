"""Images from files: a folder of pictures, one picture, a video, a rosbag."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from superpoint_rknn.sources.bag import Bag

PICTURES = {'.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp'}
VIDEOS = {'.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.webm'}
BAGS = {'.bag', '.db3', '.mcap'}


@dataclass(frozen=True)
class Frame:
    """One image of a source."""

    image: np.ndarray  # (h, w) grey or (h, w, 3) BGR, uint8
    stamp_ns: int | None  # of the header in a bag, since the start in a video
    name: str  # of the picture; of the video or topic, with the image's number

    def grey(self) -> np.ndarray:
        """The image in grey, (h, w) uint8; the very same array where it is grey already."""
        if self.image.ndim == 2:
            return self.image
        return cv2.cvtColor(self.image, cv2.COLOR_BGR2GRAY)


@dataclass(frozen=True)
class Pictures:
    """Picture files, in the order given."""

    paths: list[Path]

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Frame]:
        """Raise ValueError at a picture that can't be read."""
        for path in self.paths:
            try:
                image = cv2.imread(str(path), cv2.IMREAD_ANYCOLOR)
            except cv2.error as error:
                raise ValueError(f'{path}: not a readable picture: {error}') from error
            if image is None:
                raise ValueError(f'{path}: not a readable picture')
            yield Frame(image, None, path.name)


class Video:
    """A video file, as far as OpenCV can decode it."""

    def __init__(self, path: Path):
        """Raise ValueError if OpenCV can't decode the first image."""
        self._path = path
        capture = cv2.VideoCapture(str(path))
        try:
            decodable = capture.grab()
            self._length = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        finally:
            capture.release()
        if not decodable:
            raise ValueError(f'{path}: OpenCV can decode no image of this video')

    def __len__(self) -> int:
        """Number of images as the file's header states it; TypeError where it doesn't."""
        if self._length < 1:
            raise TypeError(f'{self._path}: the number of images is unknown')
        return self._length

    def __iter__(self) -> Iterator[Frame]:
        capture = cv2.VideoCapture(str(self._path))
        try:
            number = 0
            while capture.grab():
                stamp_ns = round(capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
                decoded, image = capture.retrieve()
                if decoded:
                    yield Frame(image, stamp_ns, f'{self._path.name}:{number}')
                number += 1
        finally:
            capture.release()


def open_source(path: Path, topic: str | None = None) -> Pictures | Video | Bag:
    """
    Images of a folder of pictures (in natural order), a picture, a video or a rosbag.

    topic: which images of a bag; None takes the topic with the most.
    Returns an iterable of Frame, that can be read again, with a len() where it is known.
    Raises FileNotFoundError, or ValueError if there are no images in it or it can't be read.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f'{path}: no such file or folder')
    suffix = path.suffix.lower()
    if suffix in BAGS or (path / 'metadata.yaml').is_file():
        try:
            from superpoint_rknn.sources.bag import Bag
        except ModuleNotFoundError as error:
            raise ValueError(f'{path}: reading bags needs: pip install {error.name}') from error
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
    raise ValueError(f'{path}: unknown suffix {suffix!r}; known are a folder, {known}')


def _natural(path: Path) -> list:
    """Key that sorts image2 before image10."""
    pieces = re.split(r'(\d+)', path.name.lower())
    return [int(piece) if piece.isdecimal() else piece for piece in pieces]


def thinned(source: Pictures | Video | Bag, limit: int) -> Iterator[Frame]:
    """At most `limit` images, evenly spread where their number is known, else the first ones."""
    try:
        step = max(1, -(-len(source) // limit))
    except TypeError:
        step = 1
    return islice(islice(source, 0, None, step), limit)
