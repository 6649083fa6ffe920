import numpy as np
import pytest
from native_cases import assert_same, assert_same_but_near_ties, logits_of, positions
from whole_pixels import whole_pixels

from superpoint_rknn.features.keypoints import KeypointDetector
from superpoint_rknn.native.features import MAX_SIZE, NativeKeypointDetector

SETTINGS = [
    whole_pixels(),
    whole_pixels(threshold=0.0),
    whole_pixels(threshold=0.1),
    whole_pixels(max_keypoints=10000),
    whole_pixels(max_keypoints=1),
    whole_pixels(nms_radius=0, max_keypoints=1000),
    whole_pixels(nms_radius=1, max_keypoints=1000),
    whole_pixels(nms_radius=32, border=0),
    whole_pixels(border=40),
    whole_pixels(border=256),
    whole_pixels(grid=(4, 6)),
    whole_pixels(grid=(10, 16), max_keypoints=200),
    whole_pixels(grid=(64, 64), max_keypoints=300),
]


@pytest.mark.parametrize('settings', SETTINGS, ids=str)
@pytest.mark.parametrize('masked', [False, True])
def test_real_logits(native, real_outputs, settings, masked):
    logits = real_outputs.logits[::5]
    size = real_outputs.size
    allowed = None
    if masked:
        allowed = np.random.default_rng(1).random(size) < 0.7
    numpy, ours = KeypointDetector(*size), NativeKeypointDetector(native, *size)
    # Without NMS, neighbouring pixels are keypoints whose scores differ by rounding errors.
    compare = assert_same if settings.nms_radius else assert_same_but_near_ties
    for image in logits:
        compare(ours.detect(image, settings, allowed), numpy.detect(image, settings, allowed))


def test_subpixel_on_real_logits(native, real_outputs):
    settings = whole_pixels(subpixel=True, border=0)
    numpy, ours = (
        KeypointDetector(*real_outputs.size),
        NativeKeypointDetector(native, *real_outputs.size),
    )
    for image in real_outputs.logits[::5]:
        expected, found = numpy.detect(image, settings), ours.detect(image, settings)
        assert np.any(found.x % 1)
        np.testing.assert_allclose(found.x, expected.x, rtol=0, atol=1e-3)
        np.testing.assert_allclose(found.y, expected.y, rtol=0, atol=1e-3)


@pytest.mark.filterwarnings('ignore::RuntimeWarning')
@pytest.mark.parametrize('number', [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize('place', [(0, 1, 1), (9, 1, 1), (64, 1, 1), (0, 1, 2)])
def test_subpixel_beside_numbers_that_are_not_finite(native, number, place):
    logits = logits_of('strong', 4, 5, 3)
    logits[place] = number
    settings = whole_pixels(threshold=0.0, nms_radius=1, border=0, subpixel=True)
    expected = KeypointDetector(32, 40).detect(logits, settings)
    found = NativeKeypointDetector(native, 32, 40).detect(logits, settings)
    assert np.isfinite(found.x).all()
    assert np.isfinite(found.y).all()
    np.testing.assert_allclose(found.x, expected.x, rtol=0, atol=1e-3)
    np.testing.assert_allclose(found.y, expected.y, rtol=0, atol=1e-3)


@pytest.mark.filterwarnings('ignore::RuntimeWarning')
def test_subpixel_of_a_peak_too_sharp_for_float32(native):
    """The quadratic's determinant overflows: the keypoint stays on its pixel."""
    logits = np.full((65, 1, 1), -1.5e30, np.float32)
    row, col = 3, 4
    logits[8 * row + col] = 5
    logits[8 * row + col - 1], logits[8 * row + col + 1] = -1e30, -2e30
    settings = whole_pixels(border=0, subpixel=True)
    for detector in (KeypointDetector(8, 8), NativeKeypointDetector(native, 8, 8)):
        assert positions(detector.detect(logits, settings)) == [(row, col)]


def test_many_exact_ties_are_in_row_major_order(native):
    """All pixels of a large image tie; an order by cells, or a slow sort, would show."""
    logits = np.zeros((65, 50, 80), np.float32)
    settings = whole_pixels(threshold=0.0, max_keypoints=2000, border=1)
    found = NativeKeypointDetector(native, 400, 640).detect(logits, settings)
    assert positions(found) == [(1.0 + i // 638, 1.0 + i % 638) for i in range(2000)]


def test_scores_at_the_edge_of_the_image(native):
    logits = np.zeros((65, 2, 3), np.float32)
    settings = whole_pixels(threshold=0.0, max_keypoints=10000, border=0)
    found = NativeKeypointDetector(native, 16, 24).detect(logits, settings)
    assert positions(found)[-4:] == [(0, 0), (0, 23), (15, 0), (15, 23)]
    np.testing.assert_allclose(found.score[-4:], 4 / 65, rtol=1e-6)
    np.testing.assert_allclose(found.score[0], 9 / 65, rtol=1e-6)


def test_images_before_do_not_matter(native, real_outputs):
    """What the buffers hold of earlier images changes nothing."""
    settings = whole_pixels()
    strong, weak = real_outputs.logits[0], real_outputs.logits[0].copy()
    weak[:64] -= 2
    ours = NativeKeypointDetector(native, *real_outputs.size)
    for image in (strong, weak, strong, weak):
        fresh = NativeKeypointDetector(native, *real_outputs.size).detect(image, settings)
        found = ours.detect(image, settings)
        assert positions(found) == positions(fresh)
        assert np.array_equal(found.score, fresh.score)


def test_arrays_that_c_cannot_read_are_copied(native):
    logits = logits_of('strong', 3, 4, 8)
    settings = whole_pixels(border=0)
    detector = NativeKeypointDetector(native, 24, 32)
    allowed = np.random.default_rng(2).integers(0, 3, (24, 32), np.uint8)
    expected = detector.detect(logits, settings, allowed)
    assert len(expected) > 5
    unaligned = np.empty(logits.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(logits.shape)
    unaligned[:] = logits
    assert not unaligned.flags.aligned
    for odd in (
        np.asfortranarray(logits),
        unaligned,
        logits.astype(np.float64),
        logits.astype('>f4'),
    ):
        assert_same(detector.detect(odd, settings, allowed), expected)
    for mask in (allowed != 0, np.asfortranarray(allowed), allowed.astype(np.int32) * 256):
        assert_same(detector.detect(logits, settings, mask), expected)


def test_keypoints_belong_to_the_caller(native):
    settings = whole_pixels(border=0)
    detector = NativeKeypointDetector(native, 24, 32)
    first = detector.detect(logits_of('strong', 3, 4, 8), settings)
    before = positions(first)
    detector.detect(logits_of('strong', 3, 4, 9), settings)
    assert positions(first) == before


@pytest.mark.parametrize('size', [(0, 8), (8, 12), (-8, 8), (8, MAX_SIZE + 8)])
def test_refuses_sizes(native, size):
    with pytest.raises(ValueError, match='model input'):
        NativeKeypointDetector(native, *size)


def test_refuses_arrays_of_another_shape(native):
    detector = NativeKeypointDetector(native, 24, 32)
    with pytest.raises(ValueError, match='logits'):
        detector.detect(np.zeros((65, 4, 3), np.float32), whole_pixels())
    with pytest.raises(ValueError, match='allowed'):
        detector.detect(
            np.zeros((65, 3, 4), np.float32), whole_pixels(), np.ones((32, 24), np.uint8)
        )
