"""Camera image -> network image, and points between the two."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

PADDING = 128  # grey around the camera image in a letterbox

COLOURS = {  # encoding: channels, conversion to grey
    'rgb8': (3, cv2.COLOR_RGB2GRAY),
    'bgr8': (3, cv2.COLOR_BGR2GRAY),
    '8UC3': (3, cv2.COLOR_BGR2GRAY),
    'rgba8': (4, cv2.COLOR_RGBA2GRAY),
    'bgra8': (4, cv2.COLOR_BGRA2GRAY),
    '8UC4': (4, cv2.COLOR_BGRA2GRAY),
}
# ROS names a mosaic by its first four pixels, OpenCV by those at (1, 1), (1, 2)
MOSAICS = {
    'bayer_rggb8': cv2.COLOR_BayerBG2GRAY,
    'bayer_bggr8': cv2.COLOR_BayerRG2GRAY,
    'bayer_gbrg8': cv2.COLOR_BayerGR2GRAY,
    'bayer_grbg8': cv2.COLOR_BayerGB2GRAY,
}
PACKED_LUMA = {'yuv422': 1, 'uyvy': 1, 'yuv422_yuy2': 0, 'yuyv': 0}  # byte of a pixel's two
PLANAR_ROWS = {'nv12': 1.5, 'nv21': 1.5, 'nv24': 3}  # rows of `step` bytes per image row


GREY_AS_STORED = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION  # as the camera has it


class EncodingError(ValueError):
    """An image encoding that isn't handled here."""


def to_grey(
    data,
    height: int,
    width: int,
    step: int,
    encoding: str,
    is_bigendian: bool = False,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """
    Grey image of the fields of a sensor_msgs/Image.

    data: buffer of bytes (array.array, bytes, memoryview, ndarray).
    height, width: [px]. step: bytes from one row to the next, padding included.
    out: (height, width) uint8 that receives the image where it must be converted and `out` fits.
    Returns (height, width) uint8: of mono8, 8UC1, NV12, NV21, NV24 a view of `data`, no copy; of
    YUV the luma; of 16 bits round(x / 257), which takes 65535 to 255.
    Raises EncodingError for an encoding that isn't handled here, ValueError if the fields
    contradict each other; both name the field and its value.
    """
    if height < 1 or width < 1:
        raise ValueError(f'height {height}, width {width}: an image has at least one pixel')
    if encoding in ('mono8', '8UC1'):
        return _view(data, height, step, (width,))
    if encoding in COLOURS:
        channels, conversion = COLOURS[encoding]
        return cv2.cvtColor(_view(data, height, step, (width, channels)), conversion, out)
    if encoding in ('mono16', '16UC1'):
        words = _view(data, height, step, (width,), '>u2' if is_bigendian else '<u2')
        # aligned and native, which `data` needn't be, for OpenCV
        return cv2.convertScaleAbs(np.require(words, np.uint16, ['C', 'A']), out, 1 / 257)
    if encoding in MOSAICS:
        if height < 3 or width < 3:
            raise ValueError(f'height {height}, width {width}: too small for {encoding}')
        return cv2.cvtColor(_view(data, height, step, (width,)), MOSAICS[encoding], out)
    if encoding in PACKED_LUMA:
        _check_even(encoding, width=width)
        return cv2.extractChannel(
            _view(data, height, step, (width, 2)), PACKED_LUMA[encoding], out
        )
    if encoding in PLANAR_ROWS:
        if encoding != 'nv24':
            _check_even(encoding, width=width, height=height)
        return _view(data, int(height * PLANAR_ROWS[encoding]), step, (width,))[:height]
    raise EncodingError(f'encoding: {encoding!r} is not handled here')


def decompress(data, kind: str) -> np.ndarray:
    """
    Grey image of the bytes of a JPEG, PNG or the like, (height, width) uint8.

    kind: `format` of the sensor_msgs/CompressedImage, for the error.
    Raises ValueError if OpenCV can't decode it.
    """
    data = np.frombuffer(data, np.uint8)
    image = _decoded(data, GREY_AS_STORED)
    if image is None:
        raise ValueError(f'data: {data.size} bytes of format {kind!r} are not an image')
    return image


def read_mask(path: str) -> np.ndarray:
    """Mask image, (height, width) uint8. Raises ValueError if the file is no image."""
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise ValueError(f'mask: {path}: {error.strerror}') from error
    mask = _decoded(content, cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise ValueError(f'mask: {path} is not an image that OpenCV reads')
    return mask


def _decoded(content: np.ndarray, flags: int) -> np.ndarray | None:
    """Image of a file's bytes; None if OpenCV can't decode it."""
    try:
        return cv2.imdecode(content, flags) if content.size else None
    except cv2.error:  # one that claims to be huge
        return None


def _check_even(encoding: str, **fields: int) -> None:
    for field, value in fields.items():
        if value % 2:
            raise ValueError(f'{field}: {value}, expected an even number for {encoding}')


def _view(data, rows: int, step: int, row_shape: tuple[int, ...], dtype='u1') -> np.ndarray:
    """An image's rows without their padding, (rows, *row_shape), not copied."""
    items, size_of_one = math.prod(row_shape), np.dtype(dtype).itemsize
    row = items * size_of_one
    if step < row:
        raise ValueError(f'step: {step}, expected at least the {row} bytes of a row')
    buffer = memoryview(data)
    if not buffer.c_contiguous:
        raise ValueError(f'data: strides {buffer.strides}, expected bytes without gaps')
    size = buffer.nbytes
    if size < step * (rows - 1) + row:
        raise ValueError(
            f'data: {size} bytes, expected {step * rows} ({rows} rows of step {step})'
        )
    view = np.ndarray((rows, items), dtype, data, strides=(step, size_of_one))
    return view.reshape(rows, *row_shape)


@dataclass(frozen=True)
class Placement:
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
    ) -> Placement:
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
