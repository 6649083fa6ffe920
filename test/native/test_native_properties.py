"""Random logits, maps and settings: native, NumPy and the definition agree."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as options
from hypothesis import strategies as st
from keypoint_definition import assert_valid, is_decided, probability_map
from native_cases import QUANTIZATIONS, TOLERANCE, assert_same, logits_of
from whole_pixels import whole_pixels

from superpoint_rknn.features.keypoints import KeypointDetector
from superpoint_rknn.native.features import NativeDescriptorSampler, NativeKeypointDetector

# The same examples in each run: no change fails for what another one did.
OPTIONS = options(derandomize=True, database=None, deadline=None)
KINDS = st.sampled_from(['constant', 'templates', 'weak', 'strong', 'huge'])
CELLS = st.integers(1, 7)
SEEDS = st.integers(0, 2**32 - 1)
THRESHOLDS = st.one_of(st.sampled_from([0.0, 0.015, 1 / 65, 0.5, 1.0]), st.floats(0, 1))
GRIDS = st.one_of(st.just((1, 1)), st.tuples(st.integers(1, 64), st.integers(1, 64)))
DETECTOR_SETTINGS = st.builds(
    whole_pixels,
    threshold=THRESHOLDS,
    nms_radius=st.integers(0, 32),
    max_keypoints=st.integers(1, 300),
    border=st.integers(0, 12),
    grid=GRIDS,
)


@options(OPTIONS, max_examples=200)
@given(KINDS, CELLS, CELLS, SEEDS, DETECTOR_SETTINGS, st.booleans())
def test_any_logits(native, kind, rows, cols, seed, settings, masked):
    logits = logits_of(kind, rows, cols, seed)
    size = (8 * rows, 8 * cols)
    allowed = None
    if masked:
        allowed = np.random.default_rng(seed + 1).integers(0, 2, size, np.uint8)
    check(native, logits, settings, allowed)


@options(OPTIONS, max_examples=200)
@given(st.sampled_from(['templates', 'weak', 'strong']), CELLS, CELLS, SEEDS, DETECTOR_SETTINGS)
def test_thresholds_just_below_a_probability(native, kind, rows, cols, seed, settings):
    """What spares cells and pixels the exact probability spares none above the threshold."""
    logits = logits_of(kind, rows, cols, seed)
    probabilities = probability_map(logits).reshape(-1)
    chosen = np.random.default_rng(seed).choice(probabilities[probabilities > 1e-4])
    check(native, logits, replace(settings, threshold=float(chosen) - 2 * TOLERANCE))


def check(native, logits, settings, allowed=None):
    """Compare with the definition, and with NumPy wherever rounding decides nothing."""
    probabilities = probability_map(logits)
    size = probabilities.shape
    found = NativeKeypointDetector(native, *size).detect(logits, settings, allowed)
    if settings.grid == (1, 1):
        assert_valid(found, probabilities, settings, allowed)
    if is_decided(probabilities, settings.threshold):
        expected = KeypointDetector(*size).detect(logits, settings, allowed)
        assert_same(found, expected)


@pytest.mark.filterwarnings('ignore::RuntimeWarning')
@options(OPTIONS, max_examples=100)
@given(
    KINDS,
    CELLS,
    CELLS,
    SEEDS,
    DETECTOR_SETTINGS,
    st.lists(
        st.tuples(
            st.integers(0, 64),
            st.integers(0, 48),
            st.sampled_from([np.nan, np.inf, -np.inf, 3e38, -3e38]),
        ),
        min_size=1,
        max_size=6,
    ),
)
def test_numbers_that_are_not_finite(native, kind, rows, cols, seed, settings, placed):
    """A cell with a NaN or an infinite peak has no keypoint."""
    logits = logits_of(kind, rows, cols, seed)
    for channel, cell, number in placed:
        logits[channel, cell % (rows * cols) // cols, cell % cols] = number
    check(native, logits, settings)


def expected_and_tolerance(raw, x, y, quantization):
    """
    Descriptors in double precision, and what float32 may deviate from them.

    Samples are exact to half a unit of their last bit, which counts more where the norm is small.
    """
    real = raw.astype(np.float64) - (quantization.zero_point if quantization else 0)
    rows, cols = raw.shape[1:]
    u = np.clip((x.astype(float) - 3.5) / 8, 0, cols - 1)
    v = np.clip((y.astype(float) - 3.5) / 8, 0, rows - 1)
    left, above = u.astype(int), v.astype(int)
    right, below = np.minimum(left + 1, cols - 1), np.minimum(above + 1, rows - 1)
    samples = (
        real[:, above, left] * ((1 - u + left) * (1 - v + above))
        + real[:, above, right] * ((u - left) * (1 - v + above))
        + real[:, below, left] * ((1 - u + left) * (v - above))
        + real[:, below, right] * ((u - left) * (v - above))
    ).T
    norm = np.linalg.norm(samples, axis=1, keepdims=True)
    largest = np.abs(raw.astype(np.float64)).max(initial=0) + 256 * (quantization is not None)
    return samples / np.maximum(norm, 1e-30), 1e-6 + largest * 1e-6 / np.maximum(norm, 1e-30)


@options(OPTIONS, max_examples=200)
@given(
    st.sampled_from(list(QUANTIZATIONS)),
    st.one_of(st.integers(1, 40), st.just(256)),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 2**32 - 1),
    st.integers(0, 60),
)
def test_any_maps_and_points(native, kind, channels, rows, cols, seed, count):
    """Points on pixels and between them, inside and outside of the image."""
    rng, quantization = np.random.default_rng(seed), QUANTIZATIONS[kind]
    raw = rng.integers(0, 256, (channels, rows, cols), np.uint8)
    raw = rng.normal(size=raw.shape).astype(np.float32) if kind == 'float32' else raw.view(kind)
    x = rng.uniform(-9, 8 * cols + 9, count).astype(np.float32)
    y = rng.uniform(-9, 8 * rows + 9, count).astype(np.float32)
    x[::2], y[::2] = np.rint(x[::2]), np.rint(y[::2])
    sampler = NativeDescriptorSampler(native, *raw.shape, quantization)
    found = sampler.sample_descriptors(raw, x, y)
    expected, tolerance = expected_and_tolerance(raw, x, y, quantization)
    assert found.shape == (count, channels)
    assert np.all(np.abs(found - expected) <= tolerance)
