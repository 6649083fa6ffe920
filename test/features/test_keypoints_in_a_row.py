"""The detector guesses from one image what to look for in the next: results must not tell."""

import numpy as np
import pytest

from superpoint_rknn.features.keypoints import DetectorSettings, KeypointDetector


def logits(rng, strength):
    values = rng.normal(-2, 1, (65, 30, 40)).astype(np.float32)
    values[64] = 5
    peaks = rng.integers(0, 64, (30, 40))
    np.put_along_axis(values, peaks[None], rng.normal(strength, 1.5, (1, 30, 40)), 0)
    return values


@pytest.mark.parametrize('most', [20, 200, 5000])
def test_each_image_gives_what_it_gives_alone(most):
    rng = np.random.default_rng(5)
    settings = DetectorSettings(max_keypoints=most)
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
        DetectorSettings(max_keypoints=10),
        DetectorSettings(max_keypoints=400),
        DetectorSettings(max_keypoints=400, threshold=0.9),
        DetectorSettings(max_keypoints=60, grid=(3, 4)),
        DetectorSettings(max_keypoints=400, threshold=0.0, nms_radius=9),
    ):
        ours = detector.detect(image, settings)
        alone = KeypointDetector(240, 320).detect(image, settings)
        assert np.array_equal(ours.x, alone.x)
        assert np.array_equal(ours.y, alone.y)
        assert np.array_equal(ours.score, alone.score)


def test_many_candidates_for_a_long_time():
    rng = np.random.default_rng(7)
    # 32 000 candidates an image: ranks of 16 bits begin anew, and at threshold 0 do not suffice
    few = DetectorSettings(threshold=1e-3, max_keypoints=5000)
    all_of_them = DetectorSettings(threshold=0.0, max_keypoints=5000)
    detector = KeypointDetector(240, 320)
    for settings in (few,) * 6 + (all_of_them,) + (few,) * 6:
        image = logits(rng, 1)
        ours = detector.detect(image, settings)
        alone = KeypointDetector(240, 320).detect(image, settings)
        assert len(ours) > 500
        assert np.array_equal(ours.x, alone.x)
        assert np.array_equal(ours.y, alone.y)
