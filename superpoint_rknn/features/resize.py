"""Resize a camera image to the model input, and map coordinates between them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

RESIZE_MODES = ('stretch', 'crop', 'letterbox')
PADDING = 128  # grey value of letterbox padding


@dataclass(frozen=True)
class ImageTransform:
    """
    Scale and offset from camera image to model input: x_net = (x_img + 0.5) / s_x - 0.5 + o_x.

    Coordinates are in pixels, 0 is the centre of the first pixel; sizes are (height, width).
    """

    image_size: tuple[int, int]
    input_size: tuple[int, int]
    scale: tuple[float, float]  # s_x, s_y: camera pixels per input pixel
    offset: tuple[float, float]  # o_x, o_y: corner of the camera image [px of the model input]

    @classmethod
    def fit(
        cls, mode: str, image_size: tuple[int, int], input_size: tuple[int, int]
    ) -> ImageTransform:
        """
        Fit a camera image into the model input.

        mode: 'stretch' (scales each axis separately), 'crop' (fills the input with the middle of
        the image) or 'letterbox' (shows the whole image, with padding).
        Raises ValueError for another mode or a size without pixels.
        """
        height, width = image_size = (int(image_size[0]), int(image_size[1]))
        input_height, input_width = input_size = (int(input_size[0]), int(input_size[1]))
        if min(*image_size, *input_size) < 1:
            raise ValueError(f'sizes {image_size}, {input_size}: expected at least one pixel')
        s_x, s_y = width / input_width, height / input_height
        if mode == 'stretch':
            return cls(image_size, input_size, (s_x, s_y), (0.0, 0.0))
        # Offsets are whole pixels, so that an image of the right scale is not interpolated.
        if mode == 'crop':
            s = min(s_x, s_y)
            left = int((width - input_width * s) / 2)
            top = int((height - input_height * s) / 2)
            return cls(image_size, input_size, (s, s), (-left / s, -top / s))
        if mode == 'letterbox':
            s = max(s_x, s_y)
            shown_width, shown_height = round(width / s), round(height / s)
            if min(shown_width, shown_height) < 1:
                raise ValueError(f'image size {image_size}: too thin for a letterbox')
            left = (input_width - shown_width) // 2
            top = (input_height - shown_height) // 2
            return cls(image_size, input_size, (s, s), (float(left), float(top)))
        raise ValueError(f'resize: {mode!r}, expected one of {", ".join(RESIZE_MODES)}')

    @property
    def valid(self) -> tuple[int, int, int, int]:
        """Region of the model input that shows the camera image: y0, x0, y1, x1, exclusive."""
        x0, x1 = self._shown(0)
        y0, y1 = self._shown(1)
        return y0, x0, y1, x1

    def _shown(self, axis: int) -> tuple[int, int]:
        """Return start and end of `valid` along x (axis 0) or y (axis 1)."""
        image, input_end = self.image_size[1 - axis], self.input_size[1 - axis]
        scale, offset = self.scale[axis], self.offset[axis]
        first = max(0, round(offset))
        return first, min(input_end, first + round(image / scale))

    def to_image(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Map points of the model input [px] to the camera image [px]."""
        (s_x, s_y), (o_x, o_y) = self.scale, self.offset
        return x * s_x + ((0.5 - o_x) * s_x - 0.5), y * s_y + ((0.5 - o_y) * s_y - 0.5)

    def resize(self, grey: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """
        Resize a camera image to the model input.

        grey: `image_size` uint8; rows may have padding.
        out: `input_size` uint8, C-contiguous, receives the result unless that is a view of `grey`.
        Returns `input_size` uint8, C-contiguous: a view of `grey` if no pixel changes.
        Raises ValueError if `grey` has another size or dtype.
        """
        if grey.shape != self.image_size or grey.dtype != np.uint8:
            raise ValueError(f'image: {grey.dtype} {grey.shape}, expected uint8 {self.image_size}')
        region = self._region(grey)
        s_x, s_y = self.scale
        if (s_x, s_y) == (1, 1) and region.shape == self.input_size and region.flags.c_contiguous:
            return region
        if out is None:
            out = np.empty(self.input_size, np.uint8)
        y0, x0, y1, x1 = self.valid
        if (y1 - y0, x1 - x0) != self.input_size:
            out[:] = PADDING
        # Linear interpolation reads two pixels per axis: beyond a factor of 2 it would alias.
        # Halving first takes a tenth of the time of INTER_AREA with a fractional factor.
        while max(s_x, s_y) > 2:
            height, width = region.shape
            half = (-(-width // 2) if s_x > 2 else width, -(-height // 2) if s_y > 2 else height)
            region = cv2.resize(region, half, interpolation=cv2.INTER_AREA)
            s_x, s_y = s_x * half[0] / width, s_y * half[1] / height
        # By factors, not by size: OpenCV would derive other factors from a size.
        shown = out[y0:y1, x0:x1]
        resized = cv2.resize(region, None, shown, 1 / s_x, 1 / s_y, cv2.INTER_LINEAR)
        if resized.shape != shown.shape:
            # One pixel more than `shown`, or one less if a half was rounded down.
            height, width = np.minimum(shown.shape, resized.shape)
            shown[:height, :width] = resized[:height, :width]
            shown[height:] = shown[height - 1]
            shown[:, width:] = shown[:, width - 1 : width]
        return out

    def _region(self, grey: np.ndarray) -> np.ndarray:
        """Return the region of the camera image that the model input shows."""
        (s_x, s_y), (o_x, o_y) = self.scale, self.offset
        height, width = self.input_size
        left, top = max(0, round(-o_x * s_x)), max(0, round(-o_y * s_y))
        rows, cols = math.ceil(height * s_y - 1e-6), math.ceil(width * s_x - 1e-6)
        return grey[top : top + rows, left : left + cols]
