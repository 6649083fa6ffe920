"""Images of a camera, of any encoding or compression, in grey."""

from __future__ import annotations

import math

import cv2
import numpy as np

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

# Keypoints refer to pixels as they are stored, whatever EXIF says of how to show them.
GREY_AS_STORED = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION
COLOUR_AS_STORED = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION


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
    image = _decoded(data)
    if image is None:
        raise ValueError(f'data: {data.size} bytes of format {kind!r} are not an image')
    return image


def read_mask(path: str) -> np.ndarray:
    """Mask image, (height, width) uint8. Raises ValueError if the file is no image."""
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise ValueError(f'mask: {path}: {error.strerror}') from error
    mask = _decoded(content)
    if mask is None:
        raise ValueError(f'mask: {path} is not an image that OpenCV reads')
    return mask


def _decoded(content: np.ndarray) -> np.ndarray | None:
    """Grey image of a file's bytes; None if OpenCV can't decode it."""
    try:
        return cv2.imdecode(content, GREY_AS_STORED) if content.size else None
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
