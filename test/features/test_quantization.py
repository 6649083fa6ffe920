import numpy as np
import pytest

from superpoint_rknn.features.quantization import (
    Quantization,
    default_std,
    input_table,
    is_identity,
    symmetric_quantization,
)

UNSIGNED = Quantization(scale=0.5, zero_point=100, dtype=np.uint8)
SIGNED = Quantization(scale=1 / 255, zero_point=-128, dtype=np.int8)


def test_quantize_rounds_half_to_even_and_clamps():
    x = np.array([0.0, 0.5, 0.25, 0.75, -50.0, -50.5, 77.5, 1e9, -1e9])
    q = UNSIGNED.quantize(x)
    assert q.dtype == np.uint8
    assert q.tolist() == [100, 101, 100, 102, 0, 0, 255, 255, 0]


def test_dequantize_by_hand():
    q = np.array([[124, 136]], np.uint8)
    real = Quantization(4.625256, 136, np.uint8).dequantize(q)
    assert real.dtype == np.float32
    assert real == pytest.approx(np.array([[-55.503072, 0.0]]), rel=1e-6)


@pytest.mark.parametrize('quantization', [UNSIGNED, SIGNED])
def test_dequantize_then_quantize_is_the_identity(quantization):
    every = np.arange(256, dtype=np.uint8).view(quantization.dtype)
    assert np.array_equal(quantization.quantize(quantization.dequantize(every)), every)


def test_dequantize_fills_the_given_array():
    q = np.arange(6, dtype=np.int8).reshape(2, 3)
    out = np.empty((2, 3), np.float32)
    assert SIGNED.dequantize(q, out=out) is out
    assert out == pytest.approx((q + 128.0) / 255)


@pytest.mark.parametrize(
    ('arguments', 'field'),
    [
        ((1.0, 0, np.int16), 'dtype: int16'),
        ((1.0, 128, np.int8), 'zero_point: 128'),
        ((1.0, -1, np.uint8), 'zero_point: -1'),
        ((0.0, 0, np.uint8), 'scale: 0.0'),
        ((float('nan'), 0, np.uint8), 'scale: nan'),
    ],
)
def test_invalid_quantization_raises(arguments, field):
    with pytest.raises(ValueError, match=field):
        Quantization(*arguments)


@pytest.mark.parametrize(
    ('quantization', 'std'),
    [
        (Quantization(1 / 255, 0, np.uint8), 255.0),
        (Quantization(0.00385, 0, np.uint8), 255.0),
        (Quantization(1.0, 0, np.uint8), 1.0),
        (Quantization(0.992, -128, np.int8), 1.0),
    ],
)
def test_default_std_follows_the_input_scale(quantization, std):
    assert default_std(quantization) == std


def test_default_std_of_another_scale_raises():
    with pytest.raises(ValueError, match=r'scale 0\.0186'):
        default_std(Quantization(0.0186, 114, np.uint8))


@pytest.mark.parametrize('std', [1.0, 255.0])
def test_full_range_calibration_gives_the_identity_table(std):
    table = input_table(Quantization(1 / std, 0, np.uint8), 0, std)
    assert table.tolist() == list(range(256))
    assert is_identity(table)


def test_signed_input_flips_the_top_bit():
    table = input_table(SIGNED, 0, 255)
    assert table.dtype == np.int8
    assert table.view(np.uint8).tolist() == [x ^ 0x80 for x in range(256)]
    assert not is_identity(table)


def test_table_with_mean_and_std():
    table = input_table(Quantization(1 / 128, 128, np.uint8), 127.5, 127.5)
    expected = np.rint((np.arange(256) - 127.5) / 127.5 * 128 + 128)
    assert table.tolist() == np.clip(expected, 0, 255).tolist()


@pytest.mark.parametrize(
    ('quantization', 'mean', 'std'),
    [
        (Quantization(1 / 255, 0, np.uint8), 0, 1),  # std 255 forgotten: all clipped
        (Quantization(1.0, 0, np.uint8), 0, 255),  # std given twice: two levels left
        (Quantization(1.0, 0, np.uint8), 255, -1),  # negative picture
        (Quantization(0.75, 0, np.uint8), 0, 1),  # calibrated on images without white
    ],
)
def test_clipping_table_raises(quantization, mean, std):
    with pytest.raises(ValueError, match=f'mean {mean}, std {std} with scale'):
        input_table(quantization, mean, std)


def test_std_zero_raises():
    with pytest.raises(ValueError, match='std 0'):
        input_table(SIGNED, 0, 0)


def test_symmetric_quantization_clips_nothing_and_keeps_zero():
    x = np.array([[-0.5, 0.0], [0.1, 0.25]])
    quantization = symmetric_quantization(x)
    assert quantization.quantize(x).tolist() == [[1, 128], [153, 192]]  # 0.1 and 0.25: 25.4, 63.5
    error = quantization.dequantize(quantization.quantize(x)) - x
    assert np.abs(error).max() <= quantization.scale / 2 + 1e-7
    assert error[0] == pytest.approx([0, 0], abs=1e-7)


@pytest.mark.parametrize('x', [np.zeros((2, 3)), np.empty((0, 256))])
def test_symmetric_quantization_of_nothing(x):
    quantization = symmetric_quantization(x)
    assert quantization.dequantize(quantization.quantize(x)).tolist() == x.tolist()
