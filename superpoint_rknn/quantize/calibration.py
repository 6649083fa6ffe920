"""Calibration images, on which the ranges of a quantized network are measured."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from superpoint_rknn.features.resize import ImageTransform
from superpoint_rknn.sources.frame import Frame

RAMP = 'ramp 0..255'
Progress = Callable[[Iterable], Iterable]  # yields the items, and shows the progress


@dataclass(frozen=True)
class CalibrationImage:
    """A model input, (H, W) uint8, and the name of the image that it was made from."""

    name: str
    grey: np.ndarray

    @property
    def sha256(self) -> str:
        """Hash of the grey values, row by row."""
        return hashlib.sha256(self.grey.tobytes()).hexdigest()


def calibration_image(frame: Frame, size: tuple[int, int]) -> CalibrationImage:
    """Convert an image to grey, crop it at its centre to the aspect of `size`, and resize it."""
    grey = frame.grey()
    model_input = ImageTransform.fit('crop', grey.shape, size).resize(grey)
    return CalibrationImage(frame.name, np.array(model_input, copy=True))


def calibration_images(frames: Iterable[Frame], size: tuple[int, int]) -> list[CalibrationImage]:
    """Convert all images, see calibration_image. Raises ValueError if there are none."""
    images = [calibration_image(frame, size) for frame in frames]
    if not images:
        raise ValueError('no calibration images')
    return images


def ramp_image(size: tuple[int, int]) -> CalibrationImage:
    """Image with all grey values from 0 to 255, which sets the input range to 0..255."""
    height, width = size
    row = np.linspace(0, 255, width).round().astype(np.uint8)
    return CalibrationImage(RAMP, np.tile(row, (height, 1)))


def grey_range(images: list[CalibrationImage]) -> tuple[int, int]:
    """Smallest and largest grey value of all images."""
    lowest = min(int(image.grey.min()) for image in images)
    return lowest, max(int(image.grey.max()) for image in images)


class CalibrationReader:
    """
    The images for the quantizer of onnxruntime, one after the other.

    The quantizer calls set_range before it reads.
    """

    def __init__(self, images: list[CalibrationImage], tensor: str, progress: Progress):
        """Start at the first image. tensor: the input of the float network."""
        self._images = images
        self._tensor = tensor
        self._remaining = iter(progress(images))
        self._left = len(images)

    def __len__(self) -> int:
        return len(self._images)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Limit the images that get_next returns to the next `end_index` - `start_index`."""
        self._left = end_index - start_index

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next input of the float network, or None at the end of the range."""
        if not self._left:
            return None
        self._left -= 1
        grey = next(self._remaining).grey
        return {self._tensor: grey[np.newaxis, np.newaxis].astype(np.float32)}
