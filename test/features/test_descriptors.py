import tracemalloc

import numpy as np
import pytest

from superpoint_rknn.features.descriptors import DescriptorSampler
from superpoint_rknn.features.quantization import Quantization

QUANTIZATIONS = [
    Quantization(4.625256, 136, np.uint8),
    Quantization(0.0039, -9, np.int8),
    None,
]


def sample_one(real, x, y):
    """Bilinear sample of a map (C, h, w) at (x, y) of the model input, written out."""
    rows, cols = real.shape[1:]
    u = min(max((x + 0.5) / 8 - 0.5, 0), cols - 1)
    v = min(max((y + 0.5) / 8 - 0.5, 0), rows - 1)
    left, above = int(u), int(v)
    right, below = min(left + 1, cols - 1), min(above + 1, rows - 1)
    top = real[:, above, left] * (1 - u + left) + real[:, above, right] * (u - left)
    bottom = real[:, below, left] * (1 - u + left) + real[:, below, right] * (u - left)
    return top * (1 - v + above) + bottom * (v - above)


def reference(raw, x, y, quantization):
    """Dequantize the whole map, then sample point by point, in double precision."""
    real = raw.astype(np.float64)
    if quantization:
        real = (real - quantization.zero_point) * quantization.scale
    points = zip(x.astype(float), y.astype(float), strict=True)
    descriptors = np.array([sample_one(real, u, v) for u, v in points])
    return descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True)


def random_map(rng, shape, quantization):
    if quantization is None:
        return rng.normal(size=shape).astype(np.float32)
    return rng.integers(0, 256, shape, dtype=np.uint8).view(quantization.dtype)


@pytest.mark.parametrize('quantization', QUANTIZATIONS)
@pytest.mark.parametrize('shape', [(256, 50, 80), (256, 7, 5), (8, 1, 4), (8, 4, 1), (3, 1, 1)])
def test_equals_sampling_the_dequantized_map(quantization, shape):
    rng = np.random.default_rng(5)
    sampler = DescriptorSampler(*shape, quantization)
    for points in (30, 1, 60):
        raw = random_map(rng, shape, quantization)
        x = rng.uniform(-0.5, 8 * shape[2] - 0.5, points).astype(np.float32)
        y = rng.uniform(-0.5, 8 * shape[1] - 0.5, points).astype(np.float32)
        x[::2], y[::2] = np.rint(x[::2]), np.rint(y[::2])
        descriptors = sampler.sample_descriptors(raw, x, y)
        assert descriptors.dtype == np.float32
        assert descriptors == pytest.approx(reference(raw, x, y, quantization), abs=1e-6)
        assert np.linalg.norm(descriptors, axis=1) == pytest.approx(1, abs=1e-6)


def test_image_corners_sample_the_corner_cells():
    raw = np.zeros((4, 2, 2), np.float32)
    raw[0, 0, 0] = raw[1, 0, 1] = raw[2, 1, 0] = raw[3, 1, 1] = 7
    x, y = np.array([0, 15, 0, 15], np.float32), np.array([0, 0, 15, 15], np.float32)
    assert DescriptorSampler(4, 2, 2).sample_descriptors(raw, x, y) == pytest.approx(
        np.eye(4), abs=1e-6
    )


def test_middle_of_four_cells_is_their_mean():
    raw = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)  # means 1.5 and 5.5
    sampler = DescriptorSampler(2, 2, 2, Quantization(0.1, 4, np.uint8))
    descriptor = sampler.sample_descriptors(raw, np.array([7.5]), np.array([7.5]))
    assert descriptor == pytest.approx(np.array([[-2.5, 1.5]]) / np.hypot(2.5, 1.5), abs=1e-6)


def test_result_does_not_depend_on_the_scale():
    rng = np.random.default_rng(6)
    raw = rng.integers(0, 256, (16, 3, 4), dtype=np.uint8)
    x, y = rng.uniform(0, 31, 9), rng.uniform(0, 23, 9)
    one, other = (
        DescriptorSampler(16, 3, 4, Quantization(scale, 90, np.uint8)).sample_descriptors(
            raw, x, y
        )
        for scale in (1e-9, 40.0)
    )
    assert np.array_equal(one, other)


def test_zero_map_gives_zeros_not_nan():
    raw = np.full((8, 2, 2), 136, np.uint8)
    sampler = DescriptorSampler(8, 2, 2, QUANTIZATIONS[0])
    assert not sampler.sample_descriptors(raw, np.array([3.0]), np.array([4.0])).any()


def test_no_points():
    sampler = DescriptorSampler(256, 2, 2, QUANTIZATIONS[0])
    nothing = np.empty(0, np.float32)
    assert sampler.sample_descriptors(np.zeros((256, 2, 2), np.uint8), nothing, nothing).shape == (
        0,
        256,
    )


def test_next_call_does_not_overwrite_earlier_result():
    rng = np.random.default_rng(7)
    sampler = DescriptorSampler(8, 2, 2, QUANTIZATIONS[0])
    x, y = rng.uniform(0, 15, 5), rng.uniform(0, 15, 5)
    first = sampler.sample_descriptors(random_map(rng, (8, 2, 2), QUANTIZATIONS[0]), x, y)
    kept = first.copy()
    sampler.sample_descriptors(random_map(rng, (8, 2, 2), QUANTIZATIONS[0]), x, y)
    assert np.array_equal(first, kept)


@pytest.mark.parametrize(
    'raw', [np.zeros((8, 2, 3), np.uint8), np.zeros((8, 2, 2), np.int8)], ids=['shape', 'dtype']
)
def test_map_of_another_shape_or_dtype_raises(raw):
    sampler = DescriptorSampler(8, 2, 2, QUANTIZATIONS[0])
    with pytest.raises(ValueError, match=r'expected uint8 \(8, 2, 2\)'):
        sampler.sample_descriptors(raw, np.zeros(1), np.zeros(1))


def test_allocates_little_more_than_the_result():
    rng = np.random.default_rng(8)
    sampler = DescriptorSampler(256, 50, 80, QUANTIZATIONS[0])
    raw = random_map(rng, (256, 50, 80), QUANTIZATIONS[0])
    x, y = rng.uniform(0, 639, 500), rng.uniform(0, 399, 500)
    sampler.sample_descriptors(raw, x, y)
    tracemalloc.start()
    try:
        descriptors = sampler.sample_descriptors(raw, x, y)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < descriptors.nbytes + 150_000
