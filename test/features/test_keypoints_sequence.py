"""The detector keeps buffers of the previous image, which must not change the result."""

import numpy as np
import pytest
from whole_pixels import whole_pixels

from superpoint_rknn.features.keypoints import KeypointDetector


def logits(rng, strength):
    values = rng.normal(-2, 1, (65, 30, 40)).astype(np.float32)
    values[64] = 5
    peaks = rng.integers(0, 64, (30, 40))
    np.put_along_axis(values, peaks[None], rng.normal(strength, 1.5, (1, 30, 40)), 0)
    return values


@pytest.mark.parametrize('max_keypoints', [20, 200, 5000])
def test_result_equals_that_of_a_new_detector(max_keypoints):
    rng = np.random.default_rng(5)
    settings = whole_pixels(max_keypoints=max_keypoints)
    detector = KeypointDetector(240, 320)
    for strength in (6, 6, 2, 9, 9, -4, 6, 3, 3):  # steady, darker, brighter, nothing, ...
        image = logits(rng, strength)
        ours = detector.detect(image, settings)
        alone = KeypointDetector(240, 320).detect(image, settings)
        for name in ('x', 'y', 'score'):
            assert np.array_equal(getattr(ours, name), getattr(alone, name))


def test_settings_may_change_between_images():
    image = logits(np.random.default_rng(6), 6)
    detector = KeypointDetector(240, 320)
    for settings in (
        whole_pixels(max_keypoints=10),
        whole_pixels(max_keypoints=400),
        whole_pixels(max_keypoints=400, threshold=0.9),
        whole_pixels(max_keypoints=60, grid=(3, 4)),
        whole_pixels(max_keypoints=400, threshold=0.0, nms_radius=9),
    ):
        ours = detector.detect(image, settings)
        alone = KeypointDetector(240, 320).detect(image, settings)
        assert np.array_equal(ours.x, alone.x)
        assert np.array_equal(ours.y, alone.y)
        assert np.array_equal(ours.score, alone.score)


def test_many_images_with_many_candidates():
    rng = np.random.default_rng(7)
    # 32 000 candidates per image: 16-bit ranks are reset, and at threshold 0 do not suffice
    few = whole_pixels(threshold=1e-3, max_keypoints=5000)
    all_of_them = whole_pixels(threshold=0.0, max_keypoints=5000)
    detector = KeypointDetector(240, 320)
    for settings in (few,) * 6 + (all_of_them,) + (few,) * 6:
        image = logits(rng, 1)
        ours = detector.detect(image, settings)
        alone = KeypointDetector(240, 320).detect(image, settings)
        assert len(ours) > 500
        for name in ('x', 'y', 'score'):
            assert np.array_equal(getattr(ours, name), getattr(alone, name))
