"""Calibration images: what the quantised network's ranges are measured on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from superpoint_rknn.features.resize import ImageTransform
from superpoint_rknn.sources.frame import Frame

RAMP = 'ramp 0..255'
Progress = Callable[[Iterable], Iterable]  # passes an iterable on, and shows how far it is


@dataclass(frozen=True)
class CalibrationImage:
    """A grey network image, (H, W) uint8, and the name of the picture that it was made from."""

    name: str
    grey: np.ndarray

    @property
    def sha256(self) -> str:
        """Of the grey values, row by row."""
        return hashlib.sha256(self.grey.tobytes()).hexdigest()


def calibration_image(frame: Frame, size: tuple[int, int]) -> CalibrationImage:
    """Picture as the network sees it: grey, cropped in the middle to the aspect of `size`."""
    grey = frame.grey()
    model_input = ImageTransform.fit('crop', grey.shape, size).resize(grey)
    return CalibrationImage(frame.name, np.array(model_input, copy=True))


def calibration_images(frames: Iterable[Frame], size: tuple[int, int]) -> list[CalibrationImage]:
    """Pictures as the network sees them, see calibration_image; ValueError if there are none."""
    images = [calibration_image(frame, size) for frame in frames]
    if not images:
        raise ValueError('no calibration images')
    return images


def ramp_image(size: tuple[int, int]) -> CalibrationImage:
    """Every grey value from 0 to 255, left to right, so that the input's range is all of them."""
    height, width = size
    row = np.linspace(0, 255, width).round().astype(np.uint8)
    return CalibrationImage(RAMP, np.tile(row, (height, 1)))


def grey_range(images: list[CalibrationImage]) -> tuple[int, int]:
    """Darkest and brightest grey value of all images."""
    darkest = min(int(image.grey.min()) for image in images)
    return darkest, max(int(image.grey.max()) for image in images)


class CalibrationReader:
    """The images as onnxruntime's quantiser takes them, one after the other."""

    def __init__(self, images: list[CalibrationImage], tensor: str, progress: Progress):
        self._images = images
        self._tensor = tensor
        self._remaining = iter(progress(images))

    def __len__(self) -> int:
        return len(self._images)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Let the next `end_index` - `start_index` images through."""
        self._admitted = end_index - start_index

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Input of the float network, or None where the range ends."""
        if not self._admitted:
            return None
        self._admitted -= 1
        grey = next(self._remaining).grey
        return {self._tensor: grey[np.newaxis, np.newaxis].astype(np.float32)}
