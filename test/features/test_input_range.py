import numpy as np
import pytest

from superpoint_rknn.features.input_range import InputRange, InputSettings


def noise(low, high, shape=(64, 80)):
    return np.random.default_rng(0).integers(low, high + 1, shape, dtype=np.uint16)


def test_images_that_use_little_of_the_range_cause_one_warning():
    warnings = []
    scale = InputRange(warn=warnings.append)
    scale.to_8_bits(noise(0, 65535))
    assert not warnings
    for _ in range(3):
        scale.to_8_bits(noise(100, 4095))
    (text,) = warnings
    assert 'values of 100 to 4095, less than a tenth of input_range [0, 65535]' in text
    assert '[0, 4095], or to auto' in text
    scale.values = (0, 4095)
    scale.to_8_bits(noise(0, 4095))
    assert len(warnings) == 1
    scale.to_8_bits(noise(0, 255))
    assert 'input_range [0, 4095]' in warnings[1]


@pytest.mark.parametrize('bits', [10, 12, 14, 16])
def test_the_bits_of_a_sensor_are_detected(bits):
    warnings = []
    words = np.linspace(0, 2**bits - 1, 256).round().astype(np.uint16)[np.newaxis]
    grey = InputRange(warn=warnings.append).to_8_bits(words)
    assert np.array_equal(grey[0], np.arange(256))
    if bits == 16:
        assert not warnings
    else:
        (text,) = warnings
        top = 2**bits - 1
        assert f'values up to {top}: input_range is taken as [0, {top}]; set it' in text


def test_detected_bits_only_grow():
    warnings = []
    scale = InputRange(warn=warnings.append)
    dark, bright = noise(0, 900), noise(0, 4000)
    assert scale.to_8_bits(dark).max() > 220
    for _ in range(2):
        assert scale.to_8_bits(bright).max() > 245
        assert scale.to_8_bits(dark).max() < 60
    first, second = warnings
    assert '[0, 1023]' in first
    assert '[0, 4095]' in second
    scale.values = (0, 65535)
    assert scale.to_8_bits(bright).max() < 17
    scale.values = (0, 0)
    assert scale.to_8_bits(dark).max() > 220


def test_no_range_of_the_same_bits_is_advised():
    warnings = []
    InputRange(warn=warnings.append).to_8_bits(noise(8200, 9000))
    (text,) = warnings
    assert 'less than a tenth of input_range [0, 16383]: set input_range to auto' in text


def test_automatic_range_fills_the_grey_levels():
    warnings = []
    grey = InputRange('auto', warnings.append).to_8_bits(noise(7000, 8000))
    assert (grey.min(), grey.max()) == (0, 255)
    assert abs(grey.mean() - 127.5) < 5
    assert not warnings


def test_automatic_range_follows_slowly():
    scale = InputRange('auto')
    dark, bright = noise(1000, 2000), noise(3000, 4000)
    first = scale.to_8_bits(dark)
    assert scale.to_8_bits(bright).min() == 255  # not yet
    for _ in range(100):
        last = scale.to_8_bits(bright)
    assert abs(last.astype(int) - first).max() <= 6


def test_automatic_range_does_not_stretch_the_noise_of_a_uniform_image():
    grey = InputRange('auto').to_8_bits(noise(8000, 8004))
    assert np.ptp(grey) < 25
    assert InputRange('auto').to_8_bits(np.zeros((64, 80), np.uint16)).max() == 0


def test_small_and_coloured_images_have_an_automatic_range():
    for shape in ((1, 1), (3, 4), (16, 16, 3)):
        assert InputRange('auto').to_8_bits(noise(0, 100, shape)).shape == shape


@pytest.mark.parametrize('values', ['auto', (0, 65535), [0, 4095], [0, 0]])
def test_settings(values):
    expected = values if isinstance(values, str) else tuple(values)
    assert InputSettings(values).input_range == expected


@pytest.mark.parametrize(
    ('values', 'reason'),
    [
        ((5, 5), r'input_range: \[5, 5\], expected the lower number first'),
        ('full', "input_range: 'full', expected auto or two whole numbers, 0 to 65535 each"),
        ((0, 65536), 'expected auto or two whole numbers'),
        ((0,), 'expected auto or two whole numbers'),
        (4095, 'expected auto or two whole numbers'),
    ],
)
def test_bad_settings_raise(values, reason):
    with pytest.raises(ValueError, match=reason):
        InputSettings(values)
