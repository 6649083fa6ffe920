"""Images from picture files and videos."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from superpoint_rknn.features.image import MAX_FILE, decode_in_colour
from superpoint_rknn.features.input_range import InputRange
from superpoint_rknn.files import read_regular
from superpoint_rknn.sources.frame import Frame

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pictures:
    """Picture files, in the given order."""

    paths: list[Path]

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Frame]:
        """Iterate over the images. Raises ValueError if one can't be read."""
        input_range = InputRange(warn=log.warning)
        for path in self.paths:
            try:
                content = np.frombuffer(read_regular(path, MAX_FILE), np.uint8)
                image = decode_in_colour(content, input_range)
            except (OSError, ValueError) as error:
                raise ValueError(f'{path}: not a readable picture: {error}') from error
            yield Frame(image, None, path.name)


class Video:
    """A video file that OpenCV decodes."""

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
            raise ValueError(f'{path}: OpenCV can not decode this video')

    def __len__(self) -> int:
        """Number of images in the file's header. Raises TypeError if it has none."""
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
