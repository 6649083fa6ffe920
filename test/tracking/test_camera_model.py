import cv2
import numpy as np
import pytest

from superpoint_rknn.tracking.camera_model import CameraModel

K = [400, 0, 320, 0, 410, 200, 0, 0, 1]
X, Y = np.array([-0.6, 0, 0.2, 0.6]), np.array([0.3, 0, -0.4, 0.4])


def test_no_distortion():
    for model in ('plumb_bob', 'equidistant', ''):
        directions = CameraModel(K, model, []).undistort(
            np.array([320, 720]), np.array([200, 405])
        )
        np.testing.assert_allclose(directions, [[0, 0], [1, 0.5]], atol=1e-12)
    assert CameraModel(K, 'plumb_bob', []).focal == 405


def test_skew():
    skewed = [400, 40, 320, 0, 400, 200, 0, 0, 1]
    directions = CameraModel(skewed, '', []).undistort(np.array([780]), np.array([400]))
    np.testing.assert_allclose(directions, [[1.1, 0.5]])  # 400 * 1.1 + 40 * 0.5 = 460


def radial(k1, k2):
    r2 = X**2 + Y**2
    return 1 + k1 * r2 + k2 * r2**2


def rational(k1, k2, k4):
    return radial(k1, k2) / (1 + k4 * (X**2 + Y**2))


def equidistant(k1):
    r = np.maximum(np.hypot(X, Y), 1e-12)
    angle = np.arctan(r)
    return angle * (1 + k1 * angle**2) / r


@pytest.mark.parametrize(
    ('model', 'coefficients', 'stretch'),
    [
        ('plumb_bob', [-0.28, 0.07, 0, 0, 0], radial(-0.28, 0.07)),
        ('rational_polynomial', [0.3, 0.02, 0, 0, 0, 0.5, 0, 0], rational(0.3, 0.02, 0.5)),
        ('equidistant', [0, 0, 0, 0], equidistant(0)),
        ('equidistant', [-0.02, 0, 0, 0], equidistant(-0.02)),
    ],
)
def test_radial_distortion(model, coefficients, stretch):
    pixels = 400 * X * stretch + 320, 410 * Y * stretch + 200
    directions = CameraModel(K, model, coefficients).undistort(*pixels)
    np.testing.assert_allclose(directions, np.stack([X, Y], axis=1), atol=1e-5)


def test_tangential_distortion():
    p1, p2 = 0.01, -0.005
    r2 = X**2 + Y**2
    x = X + 2 * p1 * X * Y + p2 * (r2 + 2 * X**2)
    y = Y + p1 * (r2 + 2 * Y**2) + 2 * p2 * X * Y
    directions = CameraModel(K, 'plumb_bob', [0, 0, p1, p2, 0]).undistort(
        400 * x + 320, 410 * y + 200
    )
    np.testing.assert_allclose(directions, np.stack([X, Y], axis=1), atol=1e-5)


def test_pixel_without_a_direction_is_nan():
    # x (1 - 0.5 x^2) is at most 0.544 for any x: nothing is shown 400 px from the middle
    directions = CameraModel(K, 'plumb_bob', [-0.5, 0, 0, 0]).undistort(
        np.array([320.0, 720.0]), np.array([200.0, 200.0])
    )
    assert np.isfinite(directions).tolist() == [[True, True], [False, False]]
    behind = CameraModel([100, 0, 320, 0, 100, 200, 0, 0, 1], 'equidistant', [0, 0, 0, 0])
    assert np.isnan(behind.undistort(np.array([500.0]), np.array([200.0]))).all()  # 103 degrees


@pytest.mark.parametrize(
    ('matrix', 'model', 'coefficients', 'reason'),
    [
        ([0] * 9, 'plumb_bob', [0] * 5, 'k: focal lengths 0, 0, expected positive numbers'),
        ([np.nan] * 9, 'plumb_bob', [0] * 5, 'not calibrated'),
        (K, 'omni', [0.1], "distortion_model: 'omni', expected one of plumb_bob"),
        (K, 'plumb_bob', [0.1] * 8, 'd: 8 coefficients, expected 0 or 4 or 5 for plumb_bob'),
        (K, 'equidistant', [0.1, np.inf, 0, 0], 'expected finite'),
    ],
)
def test_invalid_calibration_raises(matrix, model, coefficients, reason):
    with pytest.raises(ValueError, match=reason):
        CameraModel(matrix, model, coefficients)


def test_real_calibration_equals_opencv():
    x, y = np.meshgrid(np.arange(20.0, 640, 50), np.arange(20.0, 400, 50))
    x, y, d = x.ravel(), y.ravel(), [-0.2834, 0.0739, 0.00019, 1.76e-05, 0]
    points = np.stack([x, y], axis=1)[:, None]
    expected = cv2.undistortPoints(points, np.reshape(K, (3, 3)).astype(float), np.array(d))
    np.testing.assert_allclose(
        CameraModel(K, 'plumb_bob', d).undistort(x, y), expected[:, 0], atol=2e-3
    )
