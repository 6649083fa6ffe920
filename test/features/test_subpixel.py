import numpy as np
import pytest
from whole_pixels import whole_pixels

from superpoint_rknn.features import CELL
from superpoint_rknn.features.keypoints import KeypointDetector


def logits_of_surface(surface):
    """Logits (65, h, w) whose log probabilities are a surface (H, W) up to a constant."""
    height, width = surface.shape
    rows, cols = height // CELL, width // CELL
    pixels = surface.reshape(rows, CELL, cols, CELL).transpose(1, 3, 0, 2).reshape(64, rows, cols)
    # "no point" has the rest of the probability
    rest = np.log1p(-np.exp(pixels).sum(axis=0, keepdims=True))
    return np.concatenate([pixels, rest]).astype(np.float32)


def bump(size, y, x, xx=-0.4, yy=-0.6, xy=0.1):
    """Log probability of a quadratic peak at (y, x), flat far below it."""
    v, u = np.mgrid[: size[0], : size[1]].astype(float)
    quadratic = xx * (u - x) ** 2 + 2 * xy * (u - x) * (v - y) + yy * (v - y) ** 2
    return np.maximum(quadratic - 2, -9)


def refined(logits, **settings):
    height, width = logits.shape[1] * CELL, logits.shape[2] * CELL
    settings = whole_pixels(subpixel=True, max_keypoints=1, **settings)
    return KeypointDetector(height, width).detect(logits, settings)


@pytest.mark.parametrize(
    ('y', 'x'),
    [(11.3, 12.4), (12.0, 12.0), (10.65, 20.3), (15.4, 15.7), (16.2, 23.7)],
    ids=['inside a cell', 'on a pixel', 'another cell', 'across four cells', 'at a cell edge'],
)
def test_quadratic_peak_is_exact(y, x):
    keypoint = refined(logits_of_surface(bump((32, 40), y, x)))
    assert keypoint.x.dtype == np.float32
    assert (keypoint.y[0], keypoint.x[0]) == pytest.approx((y, x), abs=1e-4)


def test_equals_numpy_least_squares():
    rng = np.random.default_rng(21)
    logits = rng.normal(0, 2, (65, 6, 8)).astype(np.float32)
    logits[64] += 5
    settings = {'border': 1, 'nms_radius': 4, 'max_keypoints': 100, 'threshold': 0.001}
    detector = KeypointDetector(48, 64)
    whole = detector.detect(logits, whole_pixels(**settings))
    refined = detector.detect(logits, whole_pixels(**settings, subpixel=True))

    highest = logits.astype(float).max(axis=0)
    log_probability = logits - highest - np.log(np.exp(logits - highest).sum(axis=0))
    v, u = (axis.ravel() for axis in np.mgrid[-1:2, -1:2])
    design = np.stack([np.ones(9), u, v, u * u, u * v, v * v], axis=1)
    shifts = []
    for i in range(len(whole)):
        x, y = int(whole.x[i]), int(whole.y[i])
        patch = [
            log_probability[8 * ((y + b) % 8) + (x + a) % 8, (y + b) // 8, (x + a) // 8]
            for b, a in zip(v, u, strict=True)
        ]
        _, b, c, d, e, f = np.linalg.lstsq(design, np.array(patch), rcond=None)[0]
        hessian = np.array([[2 * d, e], [e, 2 * f]])
        peaked = np.linalg.eigvalsh(hessian).max() < 0
        shift = np.clip(np.linalg.solve(hessian, [-b, -c]), -0.5, 0.5) if peaked else (0, 0)
        assert (refined.x[i] - x, refined.y[i] - y) == pytest.approx(shift, abs=1e-5)
        shifts.append(tuple(shift))
    assert len(shifts) > 20
    assert (0, 0) in shifts
    assert np.abs(shifts).max() == 0.5
    assert np.array_equal(refined.score, whole.score)


def test_no_shift_on_a_plateau_and_at_the_image_edge():
    flat = np.full((65, 2, 2), 0, np.float32)
    keypoints = KeypointDetector(16, 16).detect(
        flat, whole_pixels(subpixel=True, nms_radius=0, border=0, threshold=0.001)
    )
    assert len(keypoints) == 256
    assert np.array_equal(keypoints.x, np.rint(keypoints.x))
    corner = refined(logits_of_surface(bump((16, 16), -0.3, -0.2)), border=0)
    assert (corner.y[0], corner.x[0]) == (0, 0)
