"""Formats and sizes of compressed images, checked before they are decoded."""

import os
import resource
import struct
import subprocess
import sys
import zlib
from contextlib import suppress

import cv2
import numpy as np
import pytest
from rknn_standin import PREBUILT

from superpoint_rknn.features.image import decode_in_colour, decompress, read_mask
from superpoint_rknn.features.image_header import (
    IMAGE_FORMATS,
    MAX_CHUNKS,
    MAX_PIXELS,
    MESSAGE_FORMATS,
    check_image_size,
)

LIMIT_MB = 400  # of address space, beyond what the process has


def encoded(suffix, shape=(30, 40), dtype=np.uint8, parameters=()):
    image = np.random.default_rng(5).integers(0, np.iinfo(dtype).max, shape, dtype)
    is_encoded, content = cv2.imencode(suffix, image, parameters)
    assert is_encoded
    return content


def png(width, height, data=b''):
    def chunk(kind, content):
        code = zlib.crc32(kind + content)
        return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', code)

    header = struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)
    return (
        b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', data) + chunk(b'IEND', b'')
    )


@pytest.mark.parametrize('kind', [b'IHDR', b'IDAT', b'IEND'])
def test_a_png_chunk_that_is_longer_than_the_file_is_refused(kind):
    content = bytearray(png(40, 30, zlib.compress(bytes(41 * 30))))
    assert decode_in_colour(as_array(content)).shape == (30, 40)
    struct.pack_into('>I', content, content.index(kind) - 4, 0xFFD70000)
    with pytest.raises(ValueError, match=r'^damaged PNG image: a chunk is longer than the file$'):
        decode_in_colour(as_array(content))


def test_the_number_of_png_chunks_is_limited():
    still = png(40, 30)
    empty = struct.pack('>I', 0) + b'teXt' + struct.pack('>I', zlib.crc32(b'teXt'))
    header = still.index(b'IDAT') - 4
    many = still[:header] + empty * MAX_CHUNKS + still[header:]
    with pytest.raises(ValueError, match=f'^PNG image of more than {MAX_CHUNKS} chunks$'):
        check_image_size(as_array(many), IMAGE_FORMATS)


def test_an_animated_png_is_refused():
    still = png(40, 30)
    check_image_size(as_array(still), IMAGE_FORMATS)
    control = struct.pack('>I', 8) + b'acTL' + struct.pack('>II', 2, 0)
    control += struct.pack('>I', zlib.crc32(control[4:]))
    header = still.index(b'IDAT') - 4
    with pytest.raises(ValueError, match=r'^animated PNG images are not'):
        check_image_size(as_array(still[:header] + control + still[header:]), IMAGE_FORMATS)


def tiff(width, height, order='<'):
    rows = [(256, 4, 1, width), (257, 4, 1, height), (258, 4, 1, 8), (259, 4, 1, 1)]
    rows += [(262, 4, 1, 1), (273, 4, 1, 8), (277, 4, 1, 1), (278, 4, 1, height), (279, 4, 1, 4)]
    fields = b''.join(struct.pack(order + 'HHII', *row) for row in rows)
    magic = b'II*\0' if order == '<' else b'MM\0*'
    return magic + struct.pack(order + 'IH', 8, len(rows)) + fields + bytes(4)


def tiff_with(width, height, fields, order):
    """Header of a TIFF file; fields: lists of SHORT values by tag."""
    fields = {256: [width], 257: [height], **fields}
    place = 8 + 2 + 12 * len(fields) + 4  # where values that do not fit into a field begin
    rows, elsewhere = b'', b''
    for tag, values in fields.items():
        content = struct.pack(f'{order}{len(values)}H', *values)
        rows += struct.pack(order + 'HHI', tag, 3, len(values))
        if len(content) > 4:
            rows += struct.pack(order + 'I', place + len(elsewhere))
            elsewhere += content
        else:
            rows += content.ljust(4, b'\0')
    magic = b'II*\0' if order == '<' else b'MM\0*'
    return magic + struct.pack(order + 'IH', 8, len(fields)) + rows + bytes(4) + elsewhere


def jpeg(width, height):
    """A JPEG image of 30x40 pixels, with another size in its frame header."""
    content = bytes(encoded('.jpg'))
    place = content.index(b'\xff\xc0') + 5
    return content[:place] + struct.pack('>HH', height, width) + content[place + 4 :]


def webp(width, height):
    """A WebP image (lossless) of 30x40 pixels, with another size in its header."""
    content = bytearray(encoded('.webp', parameters=(cv2.IMWRITE_WEBP_QUALITY, 101)))
    place = content.index(b'VP8L') + 9
    (bits,) = struct.unpack_from('<I', content, place)
    bits = bits & ~0xFFFFFFF | (width - 1) | (height - 1) << 14
    struct.pack_into('<I', content, place, bits)
    return bytes(content)


def as_array(content):
    return np.frombuffer(content, np.uint8)


@pytest.mark.parametrize('shape', [(30, 40), (30, 40, 3)])
@pytest.mark.parametrize('size_of_file', [0, 7])
@pytest.mark.parametrize(
    ('suffix', 'parameters'),
    [
        ('.jpg', ()),
        ('.jpg', (cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 2)),
        ('.png', ()),
        ('.webp', (cv2.IMWRITE_WEBP_QUALITY, 50)),
        ('.webp', (cv2.IMWRITE_WEBP_QUALITY, 101)),
        ('.tiff', ()),
        ('.tiff', (cv2.IMWRITE_TIFF_COMPRESSION, 1)),
        ('.bmp', ()),
        ('.pnm', ()),
    ],
)
def test_images_of_these_encoders_are_read(suffix, parameters, shape, size_of_file):
    content = np.append(
        encoded(suffix, shape, parameters=parameters), np.zeros(size_of_file, 'u1')
    )
    check_image_size(content, IMAGE_FORMATS)
    assert decode_in_colour(content).shape[:2] == (30, 40)


@pytest.mark.parametrize('suffix', ['.png', '.tiff'])
def test_images_of_16_bits_are_read(suffix):
    content = encoded(suffix, dtype=np.uint16)
    assert decompress(content, suffix).shape == (30, 40)


def test_comments_in_the_header_of_a_pgm():
    content = as_array(b'P5 # made by hand\n3 # width\n2\n255\nabcdef')
    assert decode_in_colour(content).tolist() == [[97, 98, 99], [100, 101, 102]]


@pytest.mark.parametrize('order', '<>')
def test_size_of_a_tiff_in_both_byte_orders(order):
    check_image_size(as_array(tiff(40, 30, order)), IMAGE_FORMATS)
    with pytest.raises(ValueError, match='TIFF image of 65536x65536 pixels, expected at most'):
        check_image_size(as_array(tiff(65536, 65536, order)), IMAGE_FORMATS)


BOMBS = {
    'JPEG': jpeg(30000, 30000),
    'PNG': png(30000, 30000, zlib.compress(bytes(100))),
    'TIFF': tiff(30000, 30000),
    'WebP': webp(16000, 16000),
    'BMP': bytes(encoded('.bmp'))[:18] + struct.pack('<ii', 30000, -30000) + bytes(100),
    'PNM': b'P5\n30000 30000\n255\n',
}


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_a_tiff_of_more_than_16_bits_is_refused(dtype):
    image = np.zeros((20, 30), dtype)
    content = cv2.imencode('.tiff', image)[1]
    bits = 8 * image.itemsize
    with pytest.raises(ValueError, match=f'^TIFF image of {bits} bits per sample, expected at'):
        check_image_size(content, IMAGE_FORMATS)


def test_a_tiff_in_colour_of_32_bits_is_refused():
    content = cv2.imencode('.tiff', np.zeros((20, 30, 3), np.float32))[1]
    expected = '^TIFF image of (32 bits per sample|LogLuv samples), expected'  # LogLuv: 4.5.4
    with pytest.raises(ValueError, match=expected):
        check_image_size(content, IMAGE_FORMATS)


@pytest.mark.parametrize('order', '<>')
@pytest.mark.parametrize(
    ('fields', 'samples'),
    [
        ({258: [64, 64, 64]}, '64 bits per sample'),
        ({262: [32844]}, 'LogL samples'),
        ({262: [32845]}, 'LogLuv samples'),
        ({339: [3]}, 'floating-point samples'),
        ({339: [3, 3, 3]}, 'floating-point samples'),
    ],
)
def test_the_samples_of_a_tiff_are_integers_of_at_most_16_bits(fields, samples, order):
    check_image_size(as_array(tiff_with(40, 30, {258: [16], 262: [1]}, order)), IMAGE_FORMATS)
    with pytest.raises(ValueError, match=f'^TIFF image of {samples}, expected'):
        check_image_size(as_array(tiff_with(40, 30, fields, order)), IMAGE_FORMATS)


@pytest.mark.parametrize('name', IMAGE_FORMATS)
def test_an_image_that_claims_too_many_pixels_is_refused(name, tmp_path):
    expected = f'{name} image of .* pixels, expected at most {MAX_PIXELS} pixels'
    with pytest.raises(ValueError, match=expected):
        decode_in_colour(as_array(BOMBS[name]))
    (tmp_path / 'mask').write_bytes(BOMBS[name])
    with pytest.raises(ValueError, match=f'^mask: {tmp_path}/mask: {expected}'):
        read_mask(tmp_path / 'mask')
    if name in MESSAGE_FORMATS:
        with pytest.raises(ValueError, match=f"data: .* bytes of format 'jpeg': {expected}"):
            decompress(BOMBS[name], 'jpeg')


def test_the_largest_size_is_accepted():
    check_image_size(as_array(png(4000, 6000)), IMAGE_FORMATS)
    with pytest.raises(ValueError, match='4000x6001'):
        check_image_size(as_array(png(4000, 6001)), IMAGE_FORMATS)


@pytest.mark.parametrize('suffix', ['.bmp', '.pgm', '.hdr', '.sr'])
def test_other_formats_are_refused_in_messages(suffix):
    shape, dtype = ((30, 40, 3), np.float32) if suffix == '.hdr' else ((30, 40), np.uint8)
    is_encoded, content = cv2.imencode(suffix, np.zeros(shape, dtype))
    assert is_encoded
    expected = 'not an image of a supported format: JPEG, PNG, WebP, TIFF$'
    with pytest.raises(ValueError, match=expected):
        decompress(content, suffix)


@pytest.mark.parametrize('name', IMAGE_FORMATS)
def test_a_cut_image_is_refused_or_decoded_at_its_size(name):
    suffix = {'WebP': '.webp', 'PNM': '.pnm'}.get(name, f'.{name.lower()}')
    whole = encoded(suffix)
    for length in range(60):
        cut = whole[:length]
        try:
            image = decode_in_colour(cut)
        except ValueError:
            continue
        assert image.shape == (30, 40)


def test_other_bytes_in_the_headers_raise_nothing_but_value_error():
    rng = np.random.default_rng(11)
    for name in IMAGE_FORMATS:
        for _ in range(300):
            content = as_array(BOMBS[name]).copy()
            places = rng.integers(2, min(len(content), 200), 8)
            content[places] = rng.integers(0, 256, 8)
            with suppress(ValueError):
                check_image_size(content, IMAGE_FORMATS)


def test_segments_of_a_jpeg_are_bounded():
    endless = b'\xff\xd8' + b'\xff\xe0\x00\x02' * 100_000 + jpeg(40, 30)[2:]
    with pytest.raises(ValueError, match='damaged JPEG image: no size in its header'):
        check_image_size(as_array(endless), IMAGE_FORMATS)


@pytest.mark.skipif(
    PREBUILT in os.environ, reason='an emulated processor cannot start a second Python'
)
def test_bombs_take_no_memory(tmp_path):
    for name, content in BOMBS.items():
        (tmp_path / name).write_bytes(content)
    script = (
        'import resource, sys\n'
        'from pathlib import Path\n'
        'from superpoint_rknn.features.image import read_mask\n'
        'pages = int(Path("/proc/self/statm").read_text().split()[0])\n'
        f'most = pages * {resource.getpagesize()} + {LIMIT_MB << 20}\n'
        'resource.setrlimit(resource.RLIMIT_AS, (most, most))\n'
        'for path in sorted(Path(sys.argv[1]).iterdir()):\n'
        '    try:\n'
        '        read_mask(path)\n'
        '    except ValueError as error:\n'
        '        print(error)\n'
    )
    command = [sys.executable, '-c', script, str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert run.stderr == ''
    assert run.stdout.count('expected at most') == len(BOMBS)


@pytest.mark.parametrize('kind', ['fifo', 'device', 'folder', 'large'])
def test_a_mask_that_is_no_regular_file_or_too_large_is_refused_at_once(kind, tmp_path):
    path = tmp_path / 'mask.png'
    expected = 'expected a regular file, not a FIFO, socket or device'
    if kind == 'fifo':
        os.mkfifo(path)
    elif kind == 'device':
        path = '/dev/zero'
    elif kind == 'folder':
        path, expected = tmp_path, 'Is a directory'
    else:
        expected = 'bytes, expected at most'
        with open(path, 'wb') as file:
            file.truncate(1 << 40)
    with pytest.raises(ValueError, match=f'^mask: {path}: .*{expected}'):
        read_mask(path)
