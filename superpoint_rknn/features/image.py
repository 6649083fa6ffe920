"""Convert camera images of the common encodings and compressions to grey."""

from __future__ import annotations

import math
from array import array
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from superpoint_rknn.errors import NotReadyError
from superpoint_rknn.features.image_header import IMAGE_FORMATS, MESSAGE_FORMATS, check_image_size
from superpoint_rknn.features.input_range import InputRange
from superpoint_rknn.files import absolute_path, read_regular
from superpoint_rknn.settings import short_repr

COLOURS = {  # encoding: channels, conversion to grey
    'rgb8': (3, cv2.COLOR_RGB2GRAY),
    'bgr8': (3, cv2.COLOR_BGR2GRAY),
    '8UC3': (3, cv2.COLOR_BGR2GRAY),
    'rgba8': (4, cv2.COLOR_RGBA2GRAY),
    'bgra8': (4, cv2.COLOR_BGRA2GRAY),
    '8UC4': (4, cv2.COLOR_BGRA2GRAY),
}
# ROS names a Bayer pattern by its first four pixels, OpenCV by those from (1, 1) on.
MOSAICS = {
    'bayer_rggb8': cv2.COLOR_BayerBG2GRAY,
    'bayer_bggr8': cv2.COLOR_BayerRG2GRAY,
    'bayer_gbrg8': cv2.COLOR_BayerGR2GRAY,
    'bayer_grbg8': cv2.COLOR_BayerGB2GRAY,
}
MOSAICS_16 = {name.replace('8', '16'): conversion for name, conversion in MOSAICS.items()}
WORDS: dict[str, tuple[int, int | None]] = {  # of 16 bits: channels, conversion to grey
    'mono16': (1, None),
    '16UC1': (1, None),
    **{name.replace('8', '16'): colour for name, colour in COLOURS.items()},
    **{name: (1, conversion) for name, conversion in MOSAICS_16.items()},
}
# Index of the luma byte in the two bytes of a pixel.
PACKED_LUMA = {'yuv422': 1, 'uyvy': 1, 'yuv422_yuy2': 0, 'yuyv': 0}
PLANAR_ROWS = {'nv12': 1.5, 'nv21': 1.5, 'nv24': 3}  # rows of `step` bytes per image row

# Keypoints refer to the stored pixels: the EXIF orientation is ignored.
GREY_AS_STORED = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION
# In colour, and with 16 bits, if the file has them.
COLOUR_AS_STORED = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
PNG = b'\x89PNG\r\n\x1a\n'
PNG_DEPTH = 24  # index of the bits per channel
MAX_FILE = 1 << 28  # [bytes] of an image file

Buffer = bytes | bytearray | memoryview | array | np.ndarray


class EncodingError(ValueError):
    """The image encoding is not supported by `to_grey`."""


def to_grey(
    data: Buffer,
    height: int,
    width: int,
    step: int,
    encoding: str,
    is_bigendian: bool = False,
    out: np.ndarray | None = None,
    input_range: InputRange | None = None,
) -> np.ndarray:
    """
    Convert the fields of a sensor_msgs/Image to a grey image.

    data: contiguous buffer of bytes.
    height, width: [px]. step: bytes from one row to the next, including padding.
    input_range: of 16 bits; None: from the values of this image.
    out: (height, width) uint8, receives the image if it is converted; may be ignored.
    Returns (height, width) uint8. mono8, 8UC1, NV12, NV21 and NV24 give a view of `data` without
    a copy, YUV its luma.
    Raises EncodingError for an unsupported encoding, ValueError if the fields are inconsistent;
    both name the field and its value.
    """
    if height < 1 or width < 1:
        raise ValueError(f'height {height}, width {width}: expected at least one pixel')
    if encoding in ('mono8', '8UC1'):
        return _view(data, height, step, (width,))
    if encoding in COLOURS:
        channels, conversion = COLOURS[encoding]
        return cv2.cvtColor(_view(data, height, step, (width, channels)), conversion, out)
    if (encoding in MOSAICS or encoding in MOSAICS_16) and (height < 3 or width < 3):
        raise ValueError(
            f'height {height}, width {width}: expected at least 3x3 pixels for {encoding}'
        )
    if encoding in MOSAICS:
        return cv2.cvtColor(_view(data, height, step, (width,)), MOSAICS[encoding], out)
    if encoding in WORDS:
        channels, colour = WORDS[encoding]
        row_shape = (width,) if channels == 1 else (width, channels)
        words = _view(data, height, step, row_shape, '>u2' if is_bigendian else '<u2')
        # OpenCV needs aligned words in native byte order.
        words = np.require(words, np.uint16, ['C', 'A'])
        if colour is not None:
            words = cv2.cvtColor(words, colour)
        return (input_range or InputRange()).to_8_bits(words, out)
    if encoding in PACKED_LUMA:
        _check_even(encoding, width=width)
        return cv2.extractChannel(
            _view(data, height, step, (width, 2)), PACKED_LUMA[encoding], out
        )
    if encoding in PLANAR_ROWS:
        if encoding != 'nv24':
            _check_even(encoding, width=width, height=height)
        return _view(data, int(height * PLANAR_ROWS[encoding]), step, (width,))[:height]
    raise EncodingError(f'encoding: {short_repr(encoding)} is not supported')


def decompress(
    data: Buffer, image_format: str, input_range: InputRange | None = None
) -> np.ndarray:
    """
    Decode a compressed image message to grey, (height, width) uint8.

    image_format: `format` of the sensor_msgs/CompressedImage, for the error message.
    Raises ValueError if it is not one of MESSAGE_FORMATS, too large or damaged.
    """
    content = np.frombuffer(data, np.uint8)
    try:
        return _decode_grey(content, MESSAGE_FORMATS, input_range)
    except ValueError as error:
        raise ValueError(compressed_data_error(content, image_format, error)) from error


def compressed_data_error(data: np.ndarray, image_format: str, reason: ValueError) -> str:
    """Error message for the data of a compressed image message."""
    return f'data: {data.size} bytes of format {short_repr(image_format)}: {reason}'


class ImageMissingError(ValueError, NotReadyError):
    """The image file can't be read."""


def read_grey(path: str | Path) -> np.ndarray:
    """
    Read an image file as grey, (height, width) uint8.

    Raises ImageMissingError if it can't be read, ValueError if it is no regular file, not one of
    IMAGE_FORMATS, too large or damaged.
    """
    try:
        content = np.frombuffer(read_regular(path, MAX_FILE), np.uint8)
        return _decode_grey(content, IMAGE_FORMATS)
    except OSError as error:
        raise ImageMissingError(f'{path}: {error.strerror}') from error
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error


def read_mask(path: str | Path) -> np.ndarray:
    """
    Read a mask image, (height, width) uint8; `~` in the path is the home directory.

    Raises ImageMissingError and ValueError as `read_grey`.
    """
    path = absolute_path(path)
    try:
        return read_grey(path)
    except ImageMissingError as error:
        raise ImageMissingError(f'mask: {error}') from error
    except ValueError as error:
        raise ValueError(f'mask: {error}') from error


def decode_in_colour(
    content: np.ndarray,
    input_range: InputRange | None = None,
    formats: tuple[str, ...] = IMAGE_FORMATS,
) -> np.ndarray:
    """
    Decode the bytes of a compressed image to uint8, BGR if it is in colour.

    Raises ValueError if it is not one of the formats, too large or damaged.
    """
    image = decode_as_stored(content, formats)
    if image.dtype == np.uint8:
        return image
    if image.dtype == np.uint16:
        return (input_range or InputRange()).to_8_bits(image)
    return _imdecode(content, COLOUR_AS_STORED & ~cv2.IMREAD_ANYDEPTH)


def decode_as_stored(content: np.ndarray, formats: tuple[str, ...] = IMAGE_FORMATS) -> np.ndarray:
    """
    Decode the bytes of a compressed image: grey or BGR, in the file's depth.

    Raises ValueError if it is not one of the formats, too large or damaged.
    """
    check_image_size(content, formats)
    return _imdecode(content, COLOUR_AS_STORED)


def _decode_grey(
    content: np.ndarray, formats: tuple[str, ...], input_range: InputRange | None = None
) -> np.ndarray:
    check_image_size(content, formats)
    is_16_bit_png = content[:PNG_DEPTH].tobytes().startswith(PNG) and 16 in content[PNG_DEPTH:][:1]
    if not is_16_bit_png:
        image = _imdecode(content, GREY_AS_STORED | cv2.IMREAD_ANYDEPTH)
        if image.dtype == np.uint8:
            return image
        if image.dtype != np.uint16:
            return _imdecode(content, GREY_AS_STORED)
    # Colours to grey as those of rgb16; OpenCV's decoders differ from it, and from each other.
    image = _imdecode(content, COLOUR_AS_STORED)
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    return (input_range or InputRange()).to_8_bits(image)


def _imdecode(content: np.ndarray, flags: int) -> np.ndarray:
    """Decode an image whose header was checked. Raises ValueError if OpenCV can't."""
    try:
        image = cv2.imdecode(content, flags)
    except cv2.error as error:
        raise ValueError(f'damaged image: {error.err}') from error
    if image is None:
        raise ValueError('damaged image: OpenCV does not decode it')
    return image


def _check_even(encoding: str, **fields: int) -> None:
    for field, value in fields.items():
        if value % 2:
            raise ValueError(f'{field}: {value}, expected an even number for {encoding}')


def _view(
    data: Buffer, rows: int, step: int, row_shape: tuple[int, ...], dtype: str = 'u1'
) -> np.ndarray:
    """Return a view of image rows without padding, (rows, *row_shape)."""
    items, item_size = math.prod(row_shape), np.dtype(dtype).itemsize
    row = items * item_size
    if step < row:
        raise ValueError(f'step: {step}, expected at least the {row} bytes of a row')
    buffer = memoryview(cast(bytes, data))  # ndarray is no Buffer by all stubs
    if not buffer.c_contiguous:
        raise ValueError(f'data: strides {buffer.strides}, expected contiguous bytes')
    size = buffer.nbytes
    if size < step * (rows - 1) + row:
        raise ValueError(
            f'data: {size} bytes, expected {step * rows} ({rows} rows of step {step})'
        )
    view: np.ndarray = np.ndarray((rows, items), dtype, data, strides=(step, item_size))
    return view.reshape(rows, *row_shape)
