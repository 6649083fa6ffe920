import threading

import numpy as np
import pytest
from native_cases import QUANTIZATIONS
from whole_pixels import whole_pixels

from superpoint_rknn.features.descriptors import DescriptorSampler
from superpoint_rknn.features.keypoints import KeypointDetector
from superpoint_rknn.features.quantization import Quantization
from superpoint_rknn.native.features import (
    MAX_CHANNELS,
    NativeDescriptorSampler,
    NativeKeypointDetector,
)


def as_kind(recording, index, kind):
    """The raw map of an image as the runtime of another type would return it; its quantisation."""
    raw, quantization = recording.raw[index], recording.quantization
    if kind == 'float32':
        return quantization.dequantize(raw), None
    if kind == 'int8':
        zero_point = quantization.zero_point - 128
        return (raw ^ 0x80).view(np.int8), Quantization(quantization.scale, zero_point, np.int8)
    return raw, quantization


@pytest.mark.parametrize('kind', QUANTIZATIONS)
@pytest.mark.parametrize('shift', [0.0, 0.37])
def test_real_maps(native, real_outputs, kind, shift):
    settings = whole_pixels(threshold=0.0, border=0)
    for index in range(0, len(real_outputs.raw), 5):
        points = KeypointDetector(*real_outputs.size).detect(real_outputs.logits[index], settings)
        raw, quantization = as_kind(real_outputs, index, kind)
        x, y = points.x + np.float32(shift), points.y
        expected = DescriptorSampler(*raw.shape, quantization).sample_descriptors(raw, x, y)
        found = NativeDescriptorSampler(native, *raw.shape, quantization).sample_descriptors(
            raw, x, y
        )
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize('kind', ['uint8', 'int8'])
@pytest.mark.parametrize('value', [0, 127, 128, 255])
def test_extreme_bytes(native, kind, value):
    """All weights of a byte's extremes fit into the integers that hold the weighted sums."""
    quantization = Quantization(1.0, 0, kind)
    raw = np.full((16, 3, 3), value, np.uint8).view(kind)
    y, x = np.mgrid[0:24, 0:24].reshape(2, -1).astype(np.float32)
    expected = DescriptorSampler(*raw.shape, quantization).sample_descriptors(raw, x, y)
    found = NativeDescriptorSampler(native, *raw.shape, quantization).sample_descriptors(raw, x, y)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.filterwarnings('ignore::RuntimeWarning')
@pytest.mark.parametrize('number', [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite(native, number):
    """Rows that they touch are as in NumPy: no number, all others are not affected."""
    rng = np.random.default_rng(6)
    raw = rng.normal(size=(9, 4, 5)).astype(np.float32)
    raw[3, 1, 2] = number
    y, x = np.mgrid[0:32, 0:40].reshape(2, -1).astype(np.float32)
    expected = DescriptorSampler(*raw.shape).sample_descriptors(raw, x, y)
    found = NativeDescriptorSampler(native, *raw.shape).sample_descriptors(raw, x, y)
    assert np.isnan(found).any()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize('kind', QUANTIZATIONS)
def test_points_that_are_not_finite(native, kind):
    """NaN gives a row of NaN, infinity the edge."""
    quantization = QUANTIZATIONS[kind]
    raw = np.random.default_rng(7).integers(0, 256, (9, 4, 5), np.uint8)
    raw = raw.astype(np.float32) if kind == 'float32' else raw.view(kind)
    sampler = NativeDescriptorSampler(native, *raw.shape, quantization)
    x = np.array([np.nan, 4, np.inf, -np.inf, 3e38], np.float32)
    y = np.array([4, np.nan, 4, 4, 4], np.float32)
    found = sampler.sample_descriptors(raw, x, y)
    edges = np.array([39, 0, 39], np.float32)
    assert np.isnan(found[:2]).all()
    assert np.array_equal(found[2:], sampler.sample_descriptors(raw, edges, y[2:]))


def test_zeros_stay_zeros(native):
    quantization = Quantization(0.1, 7, np.uint8)
    sampler = NativeDescriptorSampler(native, 16, 2, 2, quantization)
    at = np.array([0, 5, 6.25], np.float32)
    assert not sampler.sample_descriptors(np.full((16, 2, 2), 7, np.uint8), at, at).any()


def test_arrays_that_c_cannot_read_are_copied(native):
    raw = np.random.default_rng(7).integers(0, 256, (16, 4, 5), np.uint8)
    sampler = NativeDescriptorSampler(native, *raw.shape, QUANTIZATIONS['uint8'])
    points = np.array([[3, 20, 9.5], [4, 7, 30]], np.float32)
    expected = sampler.sample_descriptors(raw, *points)
    strided = np.ascontiguousarray(points.T).T
    for odd in (strided, points.astype(np.float64)):
        assert np.array_equal(sampler.sample_descriptors(np.asfortranarray(raw), *odd), expected)


def test_arrays_that_are_read_only(native):
    raw = np.random.default_rng(7).integers(0, 256, (16, 4, 5), np.uint8)
    sampler = NativeDescriptorSampler(native, *raw.shape, QUANTIZATIONS['uint8'])
    points = np.array([[3, 20, 9.5], [4, 7, 30]], np.float32)
    expected = sampler.sample_descriptors(raw, *points)
    raw.setflags(write=False)
    points.setflags(write=False)
    assert np.array_equal(sampler.sample_descriptors(raw, *points), expected)


@pytest.mark.parametrize('shape', [(0, 1, 1), (MAX_CHANNELS + 1, 1, 1), (4, 1025, 1), (4, 1, 0)])
def test_refuses_shapes(native, shape):
    with pytest.raises(ValueError, match='descriptor map'):
        NativeDescriptorSampler(native, *shape)


def test_refuses_other_arrays(native):
    raw, at = np.zeros((4, 2, 3), np.uint8), np.zeros(2, np.float32)
    sampler = NativeDescriptorSampler(native, *raw.shape, QUANTIZATIONS['uint8'])
    for other in (raw.view(np.int8), raw[:3], raw.astype(np.float32)):
        with pytest.raises(ValueError, match='descriptor map'):
            sampler.sample_descriptors(other, at, at)
    for x, y in ((at, at[:1]), (at[:, None], at[:, None])):
        with pytest.raises(ValueError, match='points'):
            sampler.sample_descriptors(raw, x, y)


def test_threads_with_their_own_handles(native, real_outputs):
    """Calls release the interpreter's lock, and handles share nothing."""
    settings, raw = whole_pixels(), real_outputs.raw[0]
    first = NativeKeypointDetector(native, *real_outputs.size).detect(
        real_outputs.logits[0], settings
    )
    described = NativeDescriptorSampler(
        native, *raw.shape, real_outputs.quantization
    ).sample_descriptors(raw, first.x, first.y)
    failures = []

    def work():
        detector = NativeKeypointDetector(native, *real_outputs.size)
        sampler = NativeDescriptorSampler(native, *raw.shape, real_outputs.quantization)
        for _ in range(10):
            found = detector.detect(real_outputs.logits[0], settings)
            data = sampler.sample_descriptors(raw, found.x, found.y)
            if not (np.array_equal(found.score, first.score) and np.array_equal(data, described)):
                failures.append(found)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
