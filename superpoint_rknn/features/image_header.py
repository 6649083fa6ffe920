"""Read the size of a compressed image from its header, before memory is taken to decode it."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

import numpy as np

MAX_PIXELS = 24_000_000  # of an image that is decoded: 6000x4000; 16 bits and colours take 400 MB
MAX_SEGMENTS = 10_000  # of a JPEG file before its size
MAX_CHUNKS = 1 << 16  # of a PNG file; most writers make chunks of 8 kB or more
FIELDS = 1_000  # of a TIFF file's first directory
WIDTH_TAG, LENGTH_TAG, BITS_TAG, PHOTOMETRIC_TAG, FORMAT_TAG = 256, 257, 258, 262, 339  # TIFF 6.0
MAX_BITS = 16  # per sample of a TIFF file; 64 take four times the memory
# OpenCV 4.5.4 stores colours of 32 bits as LogLuv and states 16 bits. OpenCV decodes LogLuv with a
# tone mapping of its own, and 4.5.4 decodes half-precision numbers as integers.
LOG_SAMPLES = {32844: 'LogL', 32845: 'LogLuv'}  # values of PHOTOMETRIC_TAG
FLOATING_POINT = 3  # value of FORMAT_TAG
INTEGERS = {3: 'H', 4: 'I'}  # TIFF field type: its struct format
HEAD = 4096  # bytes of a PNM file that are searched for its size
PNM = re.compile(rb'P[1-6](?:\s|#[^\n]*\n)+(\d{1,9})(?:\s|#[^\n]*\n)+(\d{1,9})\s')

Size = tuple[int, int]  # height, width [px]


def check_image_size(content: np.ndarray, formats: tuple[str, ...]) -> None:
    """
    Check the format and the pixel count of a compressed image by its header.

    A file of a few hundred bytes may claim gigabytes, and OpenCV would take them. Its own limit,
    OPENCV_IO_MAX_IMAGE_PIXELS, is far above what a board has and can't be set after its import.

    content: (N,) uint8. formats: accepted ones, of IMAGE_FORMATS.
    Raises ValueError for another format, a damaged header, more than MAX_PIXELS pixels,
    samples of more than 16 bits or no integers, or an animation.
    """
    head = content[:12].tobytes()
    name = next((f for f in formats if re.match(_FORMATS[f][0], head, re.DOTALL)), None)
    if name is None:
        raise ValueError(f'not an image of a supported format: {", ".join(formats)}')
    try:
        size = _FORMATS[name][1](content.data)
    except (struct.error, IndexError, OverflowError):  # the last one for offsets on 32-bit systems
        size = None
    if size is None:
        raise ValueError(f'damaged {name} image: no size in its header')
    height, width = size
    if not 0 < height * width <= MAX_PIXELS:
        raise ValueError(
            f'{name} image of {width}x{height} pixels, expected at most {MAX_PIXELS} pixels'
        )


def _jpeg(content: memoryview) -> Size | None:
    """Size in the first frame header (SOF0 to SOF15), ITU-T T.81 annex B."""
    place = 2
    for _ in range(MAX_SEGMENTS):
        while content[place] == 0xFF and content[place + 1] == 0xFF:  # fill bytes
            place += 1
        marker, code = content[place], content[place + 1]
        if marker != 0xFF or code in (0xD9, 0xDA):  # end of image, start of scan
            return None
        if 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):
            return struct.unpack_from('>HH', content, place + 5)
        is_bare = code == 0x01 or 0xD0 <= code <= 0xD8  # a marker without a segment
        place += 2 if is_bare else 2 + struct.unpack_from('>H', content, place + 2)[0]
    return None


def _png(content: memoryview) -> Size | None:
    """
    Size in the IHDR chunk, which comes first.

    Chunks must lie within the file, as OpenCV takes the memory that their lengths state. It takes
    twice the memory for animations.
    """
    kind, width, height = struct.unpack_from('>4sII', content, 12)
    place, chunk = 8, b''
    for _ in range(MAX_CHUNKS):
        if chunk == b'IEND' or place == len(content):
            return (height, width) if kind == b'IHDR' else None
        length, chunk = struct.unpack_from('>I4s', content, place)
        if chunk == b'acTL':
            raise ValueError('animated PNG images are not supported')
        place += 12 + length
        if place > len(content):
            raise ValueError('damaged PNG image: a chunk is longer than the file')
    raise ValueError(f'PNG image of more than {MAX_CHUNKS} chunks')


def _webp(content: memoryview) -> Size | None:
    """Size of the canvas: RFC 9649 sections 2.5 (VP8), 2.6 (VP8L) and 2.7 (VP8X)."""
    kind = bytes(content[12:16])
    if kind == b'VP8 ' and bytes(content[23:26]) == b'\x9d\x01\x2a':
        width, height = struct.unpack_from('<HH', content, 26)
        return height & 0x3FFF, width & 0x3FFF
    if kind == b'VP8L' and content[20] == 0x2F:
        (bits,) = struct.unpack_from('<I', content, 21)
        return 1 + (bits >> 14 & 0x3FFF), 1 + (bits & 0x3FFF)
    if kind == b'VP8X':
        width, high, height, higher = struct.unpack_from('<HBHB', content, 24)
        return 1 + height + (higher << 16), 1 + width + (high << 16)
    return None


def _tiff(content: memoryview) -> Size | None:
    """Size in the first image file directory, TIFF 6.0 section 2."""
    order = '<' if content[0] == ord('I') else '>'
    (directory,) = struct.unpack_from(f'{order}I', content, 4)
    (count,) = struct.unpack_from(f'{order}H', content, directory)
    values = {}
    for field in range(min(count, FIELDS)):
        place = directory + 2 + 12 * field
        tag, kind = struct.unpack_from(f'{order}HH', content, place)
        if tag in (WIDTH_TAG, LENGTH_TAG):
            if kind not in INTEGERS:
                return None
            (values[tag],) = struct.unpack_from(order + INTEGERS[kind], content, place + 8)
        elif tag in (BITS_TAG, PHOTOMETRIC_TAG, FORMAT_TAG):
            (samples,) = struct.unpack_from(f'{order}I', content, place + 4)
            place += 8
            if samples > 2:  # the values are elsewhere
                (place,) = struct.unpack_from(f'{order}I', content, place)
            _check_tiff_samples(tag, *struct.unpack_from(f'{order}H', content, place))
    return (values[LENGTH_TAG], values[WIDTH_TAG]) if len(values) == 2 else None


def _check_tiff_samples(tag: int, value: int) -> None:
    """Raise ValueError if the samples of a TIFF image are not integers of at most MAX_BITS."""
    if tag == BITS_TAG and value > MAX_BITS:
        raise ValueError(f'TIFF image of {value} bits per sample, expected at most {MAX_BITS}')
    if tag == PHOTOMETRIC_TAG and value in LOG_SAMPLES:
        raise ValueError(f'TIFF image of {LOG_SAMPLES[value]} samples, expected integers')
    if tag == FORMAT_TAG and value == FLOATING_POINT:
        raise ValueError('TIFF image of floating-point samples, expected integers')


def _bmp(content: memoryview) -> Size | None:
    """Size in the core or info header; rows from top to bottom have a negative height."""
    (header,) = struct.unpack_from('<I', content, 14)
    width, height = struct.unpack_from('<HH' if header == 12 else '<ii', content, 18)
    return abs(height), width


def _pnm(content: memoryview) -> Size | None:
    """Size in the text header of PBM, PGM and PPM."""
    found = PNM.match(bytes(content[:HEAD]))
    return (int(found[2]), int(found[1])) if found else None


_FORMATS: dict[str, tuple[bytes, Callable[[memoryview], Size | None]]] = {
    'JPEG': (rb'\xff\xd8\xff', _jpeg),
    'PNG': (rb'\x89PNG\r\n\x1a\n', _png),
    'WebP': (rb'RIFF....WEBP', _webp),
    'TIFF': (rb'II\*\0|MM\0\*', _tiff),
    'BMP': (rb'BM', _bmp),
    'PNM': (rb'P[1-6]\s', _pnm),
}
IMAGE_FORMATS = tuple(_FORMATS)  # of files
MESSAGE_FORMATS = IMAGE_FORMATS[:4]  # of sensor_msgs/CompressedImage
