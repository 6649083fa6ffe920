import platform
import tracemalloc

import cv2
import numpy as np
import pytest
from whole_pixels import whole_pixels

from superpoint_rknn.features.keypoints import KeypointDetector, Keypoints

EVERYTHING = 10000


def softmax(logits):
    # The last digit decides ties; that of OpenCV's exponentials differs from NumPy's.
    exponentials = cv2.exp((logits - logits.max(axis=0)).reshape(len(logits), -1))
    return (exponentials / exponentials.sum(axis=0)).reshape(logits.shape)


def probability_map(logits):
    """Probabilities (H, W) of logits (65, H/8, W/8), pixel by pixel."""
    share = softmax(logits)
    rows, cols = logits.shape[1:]
    probabilities = np.empty((8 * rows, 8 * cols), np.float32)
    for dy in range(8):
        for dx in range(8):
            probabilities[dy::8, dx::8] = share[8 * dy + dx]
    return probabilities


def score_map(probabilities):
    """Sum of the 3x3 probabilities around each pixel."""
    height, width = probabilities.shape
    padded = np.pad(probabilities, 1)
    rows = [sum(padded[dy : dy + height, dx : dx + width] for dx in range(3)) for dy in range(3)]
    return sum(rows)


def reference(logits, settings, allowed=None):
    """Row, column and score of the keypoints by the definition, pixel by pixel."""
    candidates = probability_map(logits)
    candidates[candidates <= np.float32(settings.threshold)] = 0
    scores = score_map(candidates)
    height, width = scores.shape
    r, b = settings.nms_radius, settings.border
    points = []
    for y, x in zip(*np.nonzero(candidates), strict=True):
        window = candidates[max(y - r, 0) : y + r + 1, max(x - r, 0) : x + r + 1]
        inside = b <= y < height - b and b <= x < width - b
        if inside and window.max() <= candidates[y, x] and (allowed is None or allowed[y, x]):
            points.append((y, x, scores[y, x]))
    points.sort(key=lambda point: (-point[2], point[0], point[1]))
    if settings.grid != (1, 1):
        rows, cols = settings.grid
        ranks, seen = [], {}
        for y, x, _ in points:
            part = (y * rows // height, x * cols // width)
            ranks.append(seen.get(part, 0))
            seen[part] = ranks[-1] + 1
        best = sorted(range(len(points)), key=lambda i: (ranks[i], i))
        points = [points[i] for i in sorted(best[: settings.max_keypoints])]
    return [(y, x, min(score, 1)) for y, x, score in points[: settings.max_keypoints]]


def test_exp_is_precise_and_independent_of_the_position():
    rng = np.random.default_rng(5)
    exponents = -rng.exponential(10, 5000).astype(np.float32)
    powers = cv2.exp(exponents)[:, 0]
    rtol = 4e-7 if platform.machine() == 'x86_64' else 5e-6  # NEON's are coarser
    np.testing.assert_allclose(powers, np.exp(exponents.astype(float)), rtol=rtol)
    for start, length in rng.integers((0, 130), (4000, 1000), (50, 2)):
        part = np.ascontiguousarray(exponents[start : start + length])
        assert np.array_equal(cv2.exp(part)[:, 0], powers[start : start + length])


def realistic_logits(rng, rows, cols):
    """As in real images: "no point" dominates, few cells hold a peak with shoulders."""
    logits = rng.normal(-1, 1, (65, rows, cols))
    logits[64] = rng.normal(6, 0.7, (rows, cols))
    peak = rng.normal(1, 2.5, (rows, cols))
    dy, dx = rng.uniform(0, 8, (2, rows, cols))
    for channel in range(64):
        distance = np.hypot(channel // 8 - dy, channel % 8 - dx)
        logits[channel] = np.maximum(logits[channel], peak - distance)
    return logits.astype(np.float32)


def assert_equal(keypoints, points):
    assert keypoints.x.dtype == keypoints.y.dtype == keypoints.score.dtype == np.float32
    assert keypoints.y.tolist() == [y for y, _, _ in points]
    assert keypoints.x.tolist() == [x for _, x, _ in points]
    assert keypoints.score.tolist() == [score for _, _, score in points]


SETTINGS = [
    whole_pixels(),
    whole_pixels(max_keypoints=30),
    whole_pixels(max_keypoints=1),
    whole_pixels(threshold=0.2),
    whole_pixels(threshold=0.0005, max_keypoints=100),
    whole_pixels(threshold=0.0, nms_radius=0, border=0, max_keypoints=EVERYTHING),
    whole_pixels(nms_radius=1, border=0, max_keypoints=EVERYTHING),
    whole_pixels(nms_radius=9, border=13, max_keypoints=40),
    whole_pixels(grid=(2, 3), max_keypoints=20),
    whole_pixels(grid=(5, 4), max_keypoints=41),
]


@pytest.mark.parametrize('settings', SETTINGS, ids=str)
@pytest.mark.parametrize('steps_per_unit', [None, 2, 0.5], ids=['real', 'halves', 'twos'])
def test_equals_the_definition(settings, steps_per_unit):
    """Coarse logits give many ties; sums of equal terms in another order give near ties."""
    rng = np.random.default_rng(11)
    detector = KeypointDetector(104, 160)
    for _ in range(3):
        logits = realistic_logits(rng, 13, 20)
        if steps_per_unit:
            logits = np.rint(logits * steps_per_unit) / np.float32(steps_per_unit)
        assert_equal(detector.detect(logits, settings), reference(logits, settings))


@pytest.mark.parametrize('size', [(8, 8), (8, 24), (40, 8)])
def test_equals_the_definition_on_tiny_images(size):
    rng = np.random.default_rng(12)
    settings = whole_pixels(border=0)
    logits = realistic_logits(rng, size[0] // 8, size[1] // 8)
    assert_equal(KeypointDetector(*size).detect(logits, settings), reference(logits, settings))


def test_equals_the_definition_at_full_size():
    rng = np.random.default_rng(13)
    logits = realistic_logits(rng, 50, 80)
    allowed = rng.random((400, 640)) < 0.7
    for settings in (whole_pixels(), whole_pixels(grid=(4, 6))):
        keypoints = KeypointDetector(400, 640).detect(logits, settings, allowed)
        assert len(keypoints) == 500
        assert_equal(keypoints, reference(logits, settings, allowed))


def test_more_candidates_than_16_bit_ranks():
    rng = np.random.default_rng(14)
    logits = rng.normal(0, 1, (65, 40, 40)).astype(np.float32)
    settings = whole_pixels(threshold=0.0, nms_radius=1, border=0, max_keypoints=EVERYTHING)
    keypoints = KeypointDetector(320, 320).detect(logits, settings)
    assert_equal(keypoints, reference(logits, settings))


def logits_of(points, rows=4, cols=6):
    """Logits whose softmax has the given {(y, x): probability}, at most one to a cell."""
    logits = np.full((65, rows, cols), -40, np.float32)
    logits[64] = 0
    for (y, x), probability in points.items():
        channel = 8 * (y % 8) + x % 8
        logits[channel, y // 8, x // 8] = np.log(probability / (1 - probability))
    return logits


def positions(keypoints):
    return list(zip(keypoints.y.tolist(), keypoints.x.tolist(), strict=True))


def detect(points, allowed=None, **settings):
    return KeypointDetector(32, 48).detect(logits_of(points), whole_pixels(**settings), allowed)


def test_channel_8_dy_dx_is_pixel_dy_dx():
    logits = np.full((65, 2, 3), -40, np.float32)
    logits[64] = 0
    logits[8 * 5 + 6, 1, 2] = 1
    keypoints = KeypointDetector(16, 24).detect(logits, whole_pixels(border=0))
    assert positions(keypoints) == [(8 + 5, 16 + 6)]
    assert keypoints.score[0] == pytest.approx(1 / (1 + np.exp(-1)), abs=1e-6)


def test_sorted_by_score_above_the_threshold():
    keypoints = detect({(10, 10): 0.3, (20, 20): 0.9, (20, 40): 0.01, (10, 30): 0.5})
    assert positions(keypoints) == [(20, 20), (10, 30), (10, 10)]
    assert keypoints.score == pytest.approx([0.9, 0.5, 0.3], abs=1e-6)


def test_a_corner_between_pixels_has_the_probabilities_of_all_of_them():
    between, beside = {(10, 15): 0.4, (10, 16): 0.3}, {(20, 20): 0.6, (21, 26): 0.02}
    keypoints = detect(between | beside)
    assert positions(keypoints) == [(10, 15), (20, 20), (21, 26)]
    assert keypoints.score == pytest.approx([0.7, 0.6, 0.02], abs=1e-6)
    keypoints = detect(between | beside, max_keypoints=1)
    assert positions(keypoints) == [(10, 15)]


def test_scores_are_sums_over_3x3_pixels():
    around = {(14, 14): 0.3, (15, 16): 0.2, (16, 15): 0.2}
    assert detect(around).score == pytest.approx([0.3], abs=1e-6)
    around = {(15, 15): 0.3, (16, 15): 0.05, (15, 16): 0.1, (16, 16): 0.2}
    assert detect(around).score == pytest.approx([0.65], abs=1e-6)
    of_four_cells = {(7, 7): 0.3, (8, 8): 0.2, (7, 8): 0.1, (8, 7): 0.15}
    assert detect(of_four_cells).score == pytest.approx([0.75], abs=1e-6)
    at_the_edge = {(0, 7): 0.3, (0, 8): 0.2, (31, 47): 0.4, (31, 0): 0.1}
    assert detect(at_the_edge, border=0).score == pytest.approx([0.5, 0.4, 0.1], abs=1e-6)


def test_pixels_up_to_the_threshold_do_not_count_in_scores():
    points = {(10, 15): 0.4, (10, 16): 0.1}
    assert detect(points).score == pytest.approx([0.5], abs=1e-6)
    assert detect(points, threshold=0.2).score == pytest.approx([0.4], abs=1e-6)


def test_scores_above_1_decide_the_order_and_are_returned_as_1():
    points = {(10, 15): 0.6, (10, 16): 0.5, (20, 23): 0.8, (20, 24): 0.7, (10, 36): 0.999}
    keypoints = detect(points)
    assert positions(keypoints) == [(20, 23), (10, 15), (10, 36)]
    assert keypoints.score[:2].tolist() == [1, 1]
    assert keypoints.score[2] == pytest.approx(0.999, abs=1e-6)


def test_pixels_that_cannot_be_keypoints_count_in_scores():
    in_the_border = {(8, 20): 0.4, (7, 20): 0.2}
    assert detect(in_the_border, border=8).score == pytest.approx([0.6], abs=1e-6)
    allowed = np.ones((32, 48), bool)
    allowed[10, 16] = False
    points = {(10, 15): 0.4, (10, 16): 0.3}
    assert detect(points, allowed).score == pytest.approx([0.7], abs=1e-6)


def test_probability_equal_to_the_threshold_is_excluded():
    just_below = np.nextafter(np.float32(0.5), np.float32(0))
    assert len(detect({(10, 10): 0.5}, threshold=0.5)) == 0
    assert len(detect({(10, 10): 0.5}, threshold=just_below)) == 1


def test_nms_radius():
    assert positions(detect({(14, 14): 0.9, (18, 18): 0.8})) == [(14, 14)]
    assert positions(detect({(14, 14): 0.9, (19, 14): 0.8})) == [(14, 14), (19, 14)]
    assert positions(detect({(14, 14): 0.9, (14, 19): 0.8})) == [(14, 14), (14, 19)]
    assert positions(detect({(14, 14): 0.9, (18, 18): 0.8}, nms_radius=3)) == [(14, 14), (18, 18)]


def test_nms_by_suppressed_pixels():
    """All pixels in the window count, not only the remaining ones."""
    assert positions(detect({(7, 10): 0.9, (10, 12): 0.8, (12, 16): 0.7})) == [(7, 10)]


def test_nms_by_pixels_in_the_border():
    assert positions(detect({(2, 10): 0.9, (6, 10): 0.8, (20, 20): 0.7})) == [(20, 20)]


def test_ties_both_remain_in_row_major_order():
    points = {(12, 20): 0.5, (10, 22): 0.5, (10, 15): 0.5}
    assert positions(detect(points)) == [(10, 15), (10, 22), (12, 20)]
    assert positions(detect(points, max_keypoints=2)) == [(10, 15), (10, 22)]


def test_border_includes_the_outermost_pixel():
    corners = {(4, 4): 0.5, (3, 20): 0.6, (27, 43): 0.7, (28, 20): 0.8, (15, 44): 0.9}
    assert positions(detect(corners, border=4)) == [(27, 43), (4, 4)]


@pytest.mark.parametrize('dtype', [bool, np.uint8])
def test_no_points_outside_the_mask(dtype):
    allowed = np.ones((32, 48), dtype)
    allowed[20, 20] = 0
    points = {(20, 20): 0.9, (22, 24): 0.8, (10, 10): 0.3}
    assert positions(detect(points, allowed)) == [(10, 10)]


def test_grid_spreads_points_over_its_cells():
    left = {(4 + 8 * i, 4 + 8 * j): 0.9 - 0.01 * (3 * i + j) for i in range(4) for j in range(3)}
    right = {(20, 40): 0.1, (4, 40): 0.05}
    keypoints = detect({**left, **right}, grid=(1, 2), max_keypoints=4)
    assert positions(keypoints) == [(4, 4), (4, 12), (20, 40), (4, 40)]
    assert positions(detect({**left, **right}, max_keypoints=2)) == [(4, 4), (4, 12)]


def test_grid_with_fewer_points_than_wanted():
    points = {(10, 10): 0.3, (20, 20): 0.9}
    assert positions(detect(points, grid=(3, 3))) == [(20, 20), (10, 10)]


def test_no_keypoints():
    keypoints = detect({})
    assert len(keypoints) == 0
    assert keypoints.x.shape == keypoints.y.shape == keypoints.score.shape == (0,)


def test_result_does_not_depend_on_previous_images():
    rng = np.random.default_rng(15)
    detector, settings = KeypointDetector(104, 160), whole_pixels()
    logits = realistic_logits(rng, 13, 20)
    first = detector.detect(logits, settings)
    kept = Keypoints(first.x.copy(), first.y.copy(), first.score.copy())
    detector.detect(realistic_logits(rng, 13, 20), settings)
    again = detector.detect(logits, settings)
    for name in ('x', 'y', 'score'):
        assert np.array_equal(getattr(first, name), getattr(kept, name))
        assert np.array_equal(getattr(again, name), getattr(kept, name))


def test_logits_are_not_modified():
    logits = realistic_logits(np.random.default_rng(16), 13, 20)
    kept = logits.copy()
    KeypointDetector(104, 160).detect(logits, whole_pixels(subpixel=True))
    assert np.array_equal(logits, kept)


def test_allocates_less_than_a_megabyte():
    logits = realistic_logits(np.random.default_rng(17), 50, 80)
    detector, settings = KeypointDetector(400, 640), whole_pixels()
    detector.detect(logits, settings)
    tracemalloc.start()
    try:
        detector.detect(logits, settings)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 500_000


@pytest.mark.parametrize(
    ('field', 'value'),
    [
        ('threshold', -0.1),
        ('threshold', 1.01),
        ('threshold', float('nan')),
        ('nms_radius', -1),
        ('max_keypoints', 0),
        ('border', -1),
        ('grid', (0, 1)),
        ('grid', (1, 2, 3)),
    ],
)
def test_setting_out_of_range_raises(field, value):
    with pytest.raises(ValueError, match=f'{field}: '):
        whole_pixels(**{field: value})


def test_arrays_of_another_size_raise():
    detector = KeypointDetector(32, 48)
    with pytest.raises(ValueError, match=r'logits: \(65, 6, 4\)'):
        detector.detect(np.zeros((65, 6, 4), np.float32), whole_pixels())
    with pytest.raises(ValueError, match=r'allowed: \(48, 32\)'):
        detector.detect(logits_of({}), whole_pixels(), np.ones((48, 32), bool))
    with pytest.raises(ValueError, match='400x641'):
        KeypointDetector(400, 641)
