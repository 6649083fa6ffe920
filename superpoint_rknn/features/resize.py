"""How a camera image lies in the network image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

PADDING = 128  # grey around the camera image in a letterbox


@dataclass(frozen=True)
class ImageTransform:
    """
    How a camera image lies in the network image: x_net = (x_img + 0.5) / s_x - 0.5 + o_x.

    Coordinates are pixels, 0 at the centre of the first; sizes are (height, width).
    """

    image_size: tuple[int, int]
    network_size: tuple[int, int]
    scale: tuple[float, float]  # s_x, s_y: camera pixels per network pixel
    offset: tuple[float, float]  # o_x, o_y: network pixels from its corner to the camera image's

    @classmethod
    def fit(
        cls, mode: str, image_size: tuple[int, int], network_size: tuple[int, int]
    ) -> ImageTransform:
        """
        Placement of a camera image of a size in a network image of another.

        mode: 'stretch' (each axis by itself), 'crop' (fills, keeps the middle) or 'letterbox'
        (shows all, pads).
        Raises ValueError for another mode or a size without pixels.
        """
        height, width = image_size = (int(image_size[0]), int(image_size[1]))
        network_height, network_width = network_size = (int(network_size[0]), int(network_size[1]))
        if min(*image_size, *network_size) < 1:
            raise ValueError(f'sizes {image_size}, {network_size}: expected at least one pixel')
        s_x, s_y = width / network_width, height / network_height
        if mode == 'stretch':
            return cls(image_size, network_size, (s_x, s_y), (0.0, 0.0))
        # Both corners lie on whole pixels: nothing is interpolated only to move it.
        if mode == 'crop':
            s = min(s_x, s_y)
            left = int((width - network_width * s) / 2)
            top = int((height - network_height * s) / 2)
            return cls(image_size, network_size, (s, s), (-left / s, -top / s))
        if mode == 'letterbox':
            s = max(s_x, s_y)
            shown_width, shown_height = round(width / s), round(height / s)
            if min(shown_width, shown_height) < 1:
                raise ValueError(f'image size {image_size}: too thin for a letterbox')
            left = (network_width - shown_width) // 2
            top = (network_height - shown_height) // 2
            return cls(image_size, network_size, (s, s), (float(left), float(top)))
        raise ValueError(f'resize: {mode!r}, expected stretch, crop or letterbox')

    @property
    def valid(self) -> tuple[int, int, int, int]:
        """Network pixels that show the camera image: y0, x0, y1, x1, the last ones excluded."""
        x0, x1 = self._shown(0)
        y0, y1 = self._shown(1)
        return y0, x0, y1, x1

    def _shown(self, axis: int) -> tuple[int, int]:
        """First and last + 1 network pixel along x (0) or y (1) that shows the camera image."""
        image, network = self.image_size[1 - axis], self.network_size[1 - axis]
        scale, offset = self.scale[axis], self.offset[axis]
        first = max(0, round(offset))
        return first, min(network, first + round(image / scale))

    def to_network(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points of the camera image [px] in the network image [px]."""
        (s_x, s_y), (o_x, o_y) = self.scale, self.offset
        return (x + 0.5) / s_x + (o_x - 0.5), (y + 0.5) / s_y + (o_y - 0.5)

    def to_image(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points of the network image [px] in the camera image [px]."""
        (s_x, s_y), (o_x, o_y) = self.scale, self.offset
        return x * s_x + ((0.5 - o_x) * s_x - 0.5), y * s_y + ((0.5 - o_y) * s_y - 0.5)

    def resize(self, grey: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """
        Network image of a camera image.

        grey: `image_size` uint8, rows may be strided.
        out: `network_size` uint8, C-contiguous, receives the image where one must be made.
        Returns `network_size` uint8, C-contiguous; `grey` itself, or rows of it, where it is that
        already.
        Raises ValueError if `grey` is of another size or dtype.
        """
        if grey.shape != self.image_size or grey.dtype != np.uint8:
            raise ValueError(f'image: {grey.dtype} {grey.shape}, expected uint8 {self.image_size}')
        region = self._region(grey)
        s_x, s_y = self.scale
        if (
            (s_x, s_y) == (1, 1)
            and region.shape == self.network_size
            and region.flags.c_contiguous
        ):
            return region
        if out is None:
            out = np.empty(self.network_size, np.uint8)
        y0, x0, y1, x1 = self.valid
        if (y1 - y0, x1 - x0) != self.network_size:
            out[:] = PADDING
        # Linear interpolation reads two pixels an axis: beyond a factor of 2 it would alias.
        # Halving first takes a tenth of the time of a mean over areas that split pixels.
        while max(s_x, s_y) > 2:
            height, width = region.shape
            half = (-(-width // 2) if s_x > 2 else width, -(-height // 2) if s_y > 2 else height)
            region = cv2.resize(region, half, interpolation=cv2.INTER_AREA)
            s_x, s_y = s_x * half[0] / width, s_y * half[1] / height
        # By factors, not by size: with a size OpenCV would derive other factors from it.
        shown = out[y0:y1, x0:x1]
        resized = cv2.resize(region, None, shown, 1 / s_x, 1 / s_y, cv2.INTER_LINEAR)
        if resized.shape != shown.shape:
            # up to a camera pixel more than fits, or one less where a half was rounded down
            height, width = np.minimum(shown.shape, resized.shape)
            shown[:height, :width] = resized[:height, :width]
            shown[height:] = shown[height - 1]
            shown[:, width:] = shown[:, width - 1 : width]
        return out

    def _region(self, grey: np.ndarray) -> np.ndarray:
        """The part of the camera image that the network image shows."""
        (s_x, s_y), (o_x, o_y) = self.scale, self.offset
        height, width = self.network_size
        left, top = max(0, round(-o_x * s_x)), max(0, round(-o_y * s_y))
        rows, cols = math.ceil(height * s_y - 1e-6), math.ceil(width * s_x - 1e-6)
        return grey[top : top + rows, left : left + cols]
