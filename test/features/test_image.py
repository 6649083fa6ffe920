import array

import cv2
import numpy as np
import pytest
from exif import rotated_jpeg

from superpoint_rknn.features.image import (
    EncodingError,
    decode_in_colour,
    decompress,
    read_mask,
    to_grey,
)
from superpoint_rknn.features.input_range import InputRange

SIZES = [(1, 1), (1, 9), (7, 1), (5, 6), (48, 64), (33, 50)]
PADDINGS = [0, 1, 13]


def buffer_of(rows, step):
    """Rows (h, bytes) laid `step` bytes apart, noise in between, as an array.array."""
    rng = np.random.default_rng(rows.size)
    padded = rng.integers(0, 256, (len(rows), step), dtype=np.uint8)
    padded[:, : rows.shape[1]] = rows
    return array.array('B', padded.tobytes())


def noise(*shape, dtype=np.uint8):
    return np.random.default_rng(3).integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


@pytest.mark.parametrize('encoding', ['mono8', '8UC1'])
@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('padding', PADDINGS)
def test_grey_bytes_are_not_copied(encoding, size, padding):
    image = noise(*size)
    data = buffer_of(image, size[1] + padding)
    grey = to_grey(data, *size, size[1] + padding, encoding)
    assert np.array_equal(grey, image)
    assert np.shares_memory(grey, np.frombuffer(data, np.uint8))


@pytest.mark.parametrize('kind', [bytes, bytearray, memoryview, np.frombuffer])
def test_any_buffer_type(kind):
    image = noise(3, 4)
    data = image.tobytes()
    data = np.frombuffer(data, np.uint8) if kind is np.frombuffer else kind(data)
    assert np.array_equal(to_grey(data, 3, 4, 4, 'mono8'), image)


def test_mask_ignores_exif_orientation(tmp_path):
    jpeg, stored = rotated_jpeg()
    (tmp_path / 'mask.jpg').write_bytes(jpeg)
    assert np.array_equal(read_mask(str(tmp_path / 'mask.jpg')), stored)


def test_last_row_without_padding():
    image = noise(3, 4)
    data = bytes(buffer_of(image, 7))[:-3]
    assert np.array_equal(to_grey(data, 3, 4, 7, 'mono8'), image)


@pytest.mark.parametrize('encoding', ['mono16', '16UC1'])
@pytest.mark.parametrize('is_bigendian', [False, True])
@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('padding', PADDINGS)
def test_16_bits_are_scaled_to_8_bits(encoding, is_bigendian, size, padding):
    image = noise(*size, dtype=np.uint16)
    words = image.astype('>u2' if is_bigendian else '<u2')
    step = 2 * size[1] + padding
    data = buffer_of(words.view(np.uint8), step)
    grey = to_grey(data, *size, step, encoding, is_bigendian)
    assert np.array_equal(grey, np.rint(image / 257))


def test_all_16_bit_values_at_an_odd_address():
    every = np.arange(65536, dtype='<u2')
    data = memoryview(b'\0' + every.tobytes())[1:]
    grey = to_grey(data, 256, 256, 512, 'mono16')
    assert np.array_equal(grey.ravel(), np.rint(every / 257))
    assert grey[0, 0] == 0
    assert grey[-1, -1] == 255


@pytest.mark.parametrize(
    ('encoding', 'order'),
    [
        ('rgb8', [0, 1, 2]),
        ('bgr8', [2, 1, 0]),
        ('8UC3', [2, 1, 0]),
        ('rgba8', [0, 1, 2, 3]),
        ('bgra8', [2, 1, 0, 3]),
        ('8UC4', [2, 1, 0, 3]),
    ],
)
@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('padding', PADDINGS)
def test_colours_are_weighted_by_rec_601(encoding, order, size, padding):
    colours = noise(*size, 4)  # red, green, blue, alpha
    step = size[1] * len(order) + padding
    data = buffer_of(colours[..., order].reshape(size[0], -1), step)
    grey = to_grey(data, *size, step, encoding)
    assert grey.shape == size
    assert grey.dtype == np.uint8
    red, green, blue, _ = np.moveaxis(colours.astype(float), -1, 0)
    assert np.abs(grey - (0.299 * red + 0.587 * green + 0.114 * blue)).max() < 0.51


MOSAICS = {
    'bayer_rggb8': 'rggb',
    'bayer_bggr8': 'bggr',
    'bayer_gbrg8': 'gbrg',
    'bayer_grbg8': 'grbg',
}


def mosaic(pattern, size, **colour):
    """Mosaic of one colour; the pattern names the pixels (0, 0), (0, 1), (1, 0), (1, 1)."""
    image = np.empty(size, np.uint8)
    for i, filter_colour in enumerate(pattern):
        image[i // 2 :: 2, i % 2 :: 2] = colour[filter_colour]
    return image


@pytest.mark.parametrize('encoding', MOSAICS)
@pytest.mark.parametrize('size', [(3, 3), (4, 6), (7, 8), (48, 65)])
@pytest.mark.parametrize('padding', PADDINGS)
def test_bayer_mosaic_of_one_colour(encoding, size, padding):
    for colour in ({'r': 200, 'g': 100, 'b': 20}, {'r': 20, 'g': 100, 'b': 200}):
        image = mosaic(MOSAICS[encoding], size, **colour)
        step = size[1] + padding
        grey = to_grey(buffer_of(image, step), *size, step, encoding)
        expected = 0.299 * colour['r'] + 0.587 * colour['g'] + 0.114 * colour['b']
        assert np.abs(grey - expected).max() < 1.01


@pytest.mark.parametrize(
    ('encoding', 'luma'), [('yuv422', 1), ('uyvy', 1), ('yuv422_yuy2', 0), ('yuyv', 0)]
)
@pytest.mark.parametrize('size', [(1, 2), (5, 6), (48, 64)])
@pytest.mark.parametrize('padding', PADDINGS)
def test_packed_yuv_gives_luma(encoding, luma, size, padding):
    packed = noise(*size, 2)
    step = 2 * size[1] + padding
    grey = to_grey(buffer_of(packed.reshape(size[0], -1), step), *size, step, encoding)
    assert np.array_equal(grey, packed[..., luma])


@pytest.mark.parametrize(('encoding', 'rows_per_row'), [('nv12', 1.5), ('nv21', 1.5), ('nv24', 3)])
@pytest.mark.parametrize('size', [(2, 2), (48, 64)])
@pytest.mark.parametrize('padding', PADDINGS)
def test_planar_yuv_gives_luma_as_a_view(encoding, rows_per_row, size, padding):
    planes = noise(int(size[0] * rows_per_row), size[1])
    step = size[1] + padding
    data = buffer_of(planes, step)
    grey = to_grey(data, *size, step, encoding)
    assert np.array_equal(grey, planes[: size[0]])
    assert np.shares_memory(grey, np.frombuffer(data, np.uint8))


@pytest.mark.parametrize(
    ('encoding', 'channels'), [('mono16', 2), ('bgr8', 3), ('bayer_rggb8', 1), ('yuyv', 2)]
)
def test_conversion_fills_the_given_array(encoding, channels):
    data = noise(6, 8 * channels).tobytes()
    out = np.empty((6, 8), np.uint8)
    grey = to_grey(data, 6, 8, 8 * channels, encoding, out=out)
    assert np.shares_memory(grey, out)
    assert np.array_equal(out, to_grey(data, 6, 8, 8 * channels, encoding))
    of_another_size = np.zeros((5, 8), np.uint8)
    again = to_grey(data, 6, 8, 8 * channels, encoding, out=of_another_size)
    assert np.array_equal(again, out)
    assert not of_another_size.any()


def test_photograph_in_colour_encodings(photograph):
    grey = cv2.cvtColor(photograph, cv2.COLOR_BGR2GRAY)
    size = grey.shape
    rgba = cv2.cvtColor(photograph, cv2.COLOR_BGR2RGBA)
    nv12 = np.vstack([grey, np.full((size[0] // 2, size[1]), 128, np.uint8)])
    assert np.array_equal(to_grey(photograph, *size, 3 * size[1], 'bgr8'), grey)
    assert np.array_equal(to_grey(rgba, *size, 4 * size[1], 'rgba8'), grey)
    assert np.array_equal(to_grey(nv12, *size, size[1], 'nv12'), grey)
    for encoding, pattern in MOSAICS.items():
        blue, green, red = np.moveaxis(photograph, -1, 0)
        planes = {'r': red, 'g': green, 'b': blue}
        raw = np.empty(size, np.uint8)
        for i, colour in enumerate(pattern):
            raw[i // 2 :: 2, i % 2 :: 2] = planes[colour][i // 2 :: 2, i % 2 :: 2]
        error = to_grey(raw, *size, size[1], encoding).astype(float) - grey
        assert np.abs(error).mean() < 4, encoding


@pytest.mark.parametrize('encoding', ['32FC1', 'bayer_rggb12', 'jpeg', ''])
def test_unsupported_encoding_raises(encoding):
    with pytest.raises(EncodingError, match=f"encoding: '{encoding}'"):
        to_grey(bytes(96), 2, 2, 16, encoding)


def test_a_long_name_of_an_encoding_is_cut():
    with pytest.raises(EncodingError, match=r"^encoding: 'x{76}\.\.\. is not supported$"):
        to_grey(bytes(96), 2, 2, 16, 'x' * 100_000)


@pytest.mark.parametrize(
    ('height', 'width', 'step', 'encoding', 'size', 'message'),
    [
        (0, 4, 4, 'mono8', 0, 'height 0, width 4'),
        (4, 0, 4, 'mono8', 16, 'height 4, width 0'),
        (4, 4, 3, 'mono8', 16, 'step: 3, expected at least the 4 bytes'),
        (4, 4, 7, 'mono16', 32, 'step: 7, expected at least the 8 bytes'),
        (4, 4, 11, 'bgr8', 48, 'step: 11, expected at least the 12 bytes'),
        (4, 4, 4, 'mono8', 15, r'data: 15 bytes, expected 16 \(4 rows of step 4\)'),
        (4, 4, 8, 'mono8', 27, 'data: 27 bytes, expected 32'),
        (4, 4, 4, 'nv12', 16, r'data: 16 bytes, expected 24 \(6 rows'),
        (4, 4, 12, 'rgb8', 0, 'data: 0 bytes, expected 48'),
        (4, 5, 10, 'yuv422', 40, 'width: 5, expected an even number for yuv422'),
        (4, 5, 5, 'nv12', 40, 'width: 5, expected an even number for nv12'),
        (3, 4, 4, 'nv21', 40, 'height: 3, expected an even number for nv21'),
        (2, 4, 4, 'bayer_rggb8', 8, 'height 2, width 4: expected at least 3x3 pixels for bayer'),
        (2**31, 2**31, 2**31, 'mono8', 16, 'data: 16 bytes'),
    ],
)
def test_error_names_the_contradicting_field(height, width, step, encoding, size, message):
    with pytest.raises(ValueError, match=message):
        to_grey(bytes(size), height, width, step, encoding)


@pytest.mark.parametrize('encoding', ['rgb', 'bgr', 'rgba', 'bgra'])
@pytest.mark.parametrize('is_bigendian', [False, True])
def test_16_bit_colours(encoding, is_bigendian):
    image = noise(5, 6, len(encoding), dtype=np.uint16)
    words = image.astype('>u2' if is_bigendian else '<u2')
    step = 2 * image[0].size + 3
    data = buffer_of(words.view(np.uint8).reshape(5, -1), step)
    colour = {name: image[..., i].astype(float) for i, name in enumerate(encoding)}
    expected = (0.299 * colour['r'] + 0.587 * colour['g'] + 0.114 * colour['b']) / 257
    grey = to_grey(data, 5, 6, step, f'{encoding}16', is_bigendian)
    assert np.abs(grey - expected).max() < 0.51


@pytest.mark.parametrize('pattern', list(MOSAICS))
@pytest.mark.parametrize('is_bigendian', [False, True])
def test_16_bit_mosaics(pattern, is_bigendian):
    """As the mosaic of the upper 8 bits, up to rounding."""
    raw = noise(8, 10)
    words = (raw.astype(np.uint16) << 8).astype('>u2' if is_bigendian else '<u2')
    encoding = pattern.replace('8', '16')
    grey = to_grey(words.tobytes(), 8, 10, 20, encoding, is_bigendian).astype(int)
    assert np.abs(grey - to_grey(raw, 8, 10, 10, pattern)).max() <= 1


@pytest.mark.parametrize('values', [(0, 65535), (0, 4095), (1000, 3000)])
def test_raw_and_png_of_16_bits_are_equal(values):
    every = np.arange(65536, dtype='<u2').reshape(256, 256)
    png = cv2.imencode('.png', every)[1]
    raw = to_grey(every.tobytes(), 256, 256, 512, 'mono16', input_range=InputRange(values))
    assert np.array_equal(decompress(png, 'png', InputRange(values)), raw)
    assert np.array_equal(decode_in_colour(png, InputRange(values)), raw)
    low, high = values
    assert np.array_equal(raw, np.rint((every.clip(low, high) - float(low)) * 255 / (high - low)))
    colour = noise(16, 16, 3, dtype=np.uint16)
    png = cv2.imencode('.png', colour)[1]
    raw = to_grey(colour.tobytes(), 16, 16, 96, 'bgr16', input_range=InputRange(values))
    assert np.array_equal(decompress(png, 'png', InputRange(values)), raw)


def test_other_16_bit_files_are_scaled_too():
    every = np.arange(65536, dtype='<u2').reshape(256, 256)
    data = cv2.imencode('.tiff', every)[1]
    assert np.array_equal(decompress(data, 'tiff'), np.rint(every / 257))
    data = cv2.imencode('.pgm', every)[1]
    assert np.array_equal(decode_in_colour(data), np.rint(every / 257))


def test_strided_bytes_raise():
    with pytest.raises(ValueError, match='data: strides'):
        to_grey(noise(4, 8)[:, ::2], 4, 4, 4, 'mono8')


def test_read_mask(tmp_path):
    path = tmp_path / 'mask.png'
    cv2.imwrite(str(path), np.eye(8, dtype=np.uint8) * 255)
    assert np.array_equal(read_mask(path), np.eye(8, dtype=np.uint8) * 255)
    (tmp_path / 'text.png').write_text('no image')
    (tmp_path / 'empty.png').touch()
    for name in ('text.png', 'empty.png'):
        with pytest.raises(ValueError, match=f'mask: .*{name}: not an image'):
            read_mask(tmp_path / name)
    with pytest.raises(ValueError, match=r'mask: .*none\.png: No such file'):
        read_mask(tmp_path / 'none.png')
