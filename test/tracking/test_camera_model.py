import cv2
import numpy as np
import pytest

from superpoint_rknn.tracking.camera_model import CameraModel

K = [400, 0, 320, 0, 410, 200, 0, 0, 1]
X, Y = np.array([-0.6, 0, 0.2, 0.6]), np.array([0.3, 0, -0.4, 0.4])


def test_no_distortion():
    for model in ('plumb_bob', 'rational_polynomial', 'none', ''):
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


def unified(xi, k1):
    """Stretch from X / Z to the pixel: by hand from Mei's projection to the unit sphere."""
    length = np.sqrt(X**2 + Y**2 + 1)
    stretch = 1 / (1 + xi * length)
    return stretch * (1 + k1 * (X**2 + Y**2) * stretch**2)


@pytest.mark.parametrize(('xi', 'k1'), [(0.0, 0.0), (0.8, 0.0), (2.3, -0.2)])
def test_mei(xi, k1):
    pixels = 400 * X * unified(xi, k1) + 320, 410 * Y * unified(xi, k1) + 200
    camera_model = CameraModel(K, 'mei', [xi, k1, 0, 0, 0])
    np.testing.assert_allclose(camera_model.undistort(*pixels), np.stack([X, Y], 1), atol=1e-5)
    assert camera_model.focal == pytest.approx(405 / (1 + xi))


def test_mei_has_no_direction_behind_the_camera_or_outside_the_sphere():
    camera_model = CameraModel([100, 0, 320, 0, 100, 200, 0, 0, 1], 'mei', [2, 0, 0, 0, 0])
    # seen at right angles: 1 / xi; the edge of the sphere: 1 / sqrt(xi^2 - 1)
    x = 320 + 100 * np.array([0.49, 0.51, 0.58])
    directions = camera_model.undistort(x, np.full(3, 200.0))
    assert directions[0, 0] > 10
    assert np.isnan(directions[1:]).all()


def test_all_14_coefficients_equal_opencv():
    d = [0.3, 0.05, 1e-3, -2e-3, 0.01, 0.4, 0.02, 0.005, 1e-3, -1e-3, 2e-3, 1e-3, 0.02, -0.01]
    rays = np.stack([X, Y, np.ones(4)], axis=1)
    pixels, _ = cv2.projectPoints(
        rays, np.zeros(3), np.zeros(3), np.reshape(K, (3, 3)) * 1.0, np.array(d)
    )
    directions = CameraModel(K, 'rational_polynomial', d).undistort(*pixels[:, 0].T)
    np.testing.assert_allclose(directions, np.stack([X, Y], axis=1), atol=1e-5)


@pytest.mark.parametrize(
    ('model', 'coefficients', 'name', 'used'),
    [
        ('equidistant', [-0.01, 0.05, -0.04, 0.008, 0], 'equidistant', 4),  # RealSense T265
        ('fisheye', [0.1, -0.05, 0, 0], 'equidistant', 4),
        ('Kannala-Brandt', [0.1, -0.05, 0, 0, 0, 0, 0, 0], 'equidistant', 4),
        ('radtan', [-0.3, 0.1, 1e-3, 0], 'plumb_bob', 4),
        ('radial-tangential', [-0.3, 0.1, 1e-3, 0], 'plumb_bob', 4),
        ('plumb_bob', [-0.3, 0.1, 0, 0, 0.01, 0, 0, 0], 'plumb_bob', 5),
        ('rational_polynomial', [0.3, 0.1, 0, 0, 0.1, 0.2, 0, 0, 0], 'rational_polynomial', 8),
    ],
)
def test_other_names_and_surplus_zeros(model, coefficients, name, used):
    pixels = np.array([100.0, 320, 600]), np.array([50.0, 200, 390])
    np.testing.assert_array_equal(
        CameraModel(K, model, coefficients).undistort(*pixels),
        CameraModel(K, name, coefficients[:used]).undistort(*pixels),
    )


def test_zeros_are_no_distortion_but_for_equidistant():
    x, y = np.array([720.0]), np.array([200.0])
    for model in ('plumb_bob', 'rational_polynomial', 'unknown'):
        for count in (0, 1, 3, 5, 6, 12):
            assert CameraModel(K, model, [0] * count).undistort(x, y)[0, 0] == 1
    assert CameraModel(K, 'equidistant', [0] * 5).undistort(x, y)[0, 0] == pytest.approx(np.tan(1))


def test_directions_are_rotated_back():
    rotation = cv2.Rodrigues(np.array([0, np.pi / 4, 0]))[0]  # Z becomes X: right of the middle
    directions = CameraModel(K, '', [], rotation).undistort(
        np.array([320, 720, 720]), np.array([200, 200, 405])
    )
    # (0, 0, 1), (1, 0, 1), (1, 0.5, 1) turned back by 45 degrees
    np.testing.assert_allclose(directions, [[-1, 0], [0, 0], [0, 0.5 / np.sqrt(2)]], atol=1e-12)
    behind = CameraModel(K, '', [], rotation).undistort(np.array([-180.0]), np.array([200.0]))
    assert np.isnan(behind).all()  # x = -1.25


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
        ([400, 0, np.nan, 0, 400, 200, 0, 0, 1], '', [], r'k: \[400.0, 0.0, nan, .*numbers'),
        (
            K,
            'theta' * 10**5,
            [0.1],
            f"distortion_model: '{'theta' * 15}t\\.\\.\\., expected one of",
        ),
        ([1e-300, 0, 320, 0, 400, 200, 0, 0, 1], '', [], r'k: focal lengths 1e-300.* in pixels'),
        ([400, 0, 1e9, 0, 400, 200, 0, 0, 1], '', [], r'k: principal point 1e\+09, 200'),
        (
            [400, 0, 0, 0, 400, 0, 320, 200, 1],
            '',
            [],
            'k: .*, expected fx, 0, cx, 0, fy, cy, 0, 0',
        ),
        (K, 'omni', [0.1], "distortion_model: 'omni', expected one of plumb_bob"),
        (K, 'thin_prism_fisheye', [0] * 4, "distortion_model: 'thin_prism_fisheye', expected"),
        (K, 'plumb_bob', [0.1] * 8, 'd: 8 .*, expected 4 or 5 for plumb_bob.*rational_polynomial'),
        (K, 'plumb_bob', [0.1] * 2, r'd: 2 coefficients, \[0.1, 0.1\], .* given as 0'),
        (K, 'radtan', [0.1] * 6, 'd: 6 .*, expected 4 or 5 for radtan: more must be 0'),
        (K, 'equidistant', [], 'd: 0 coefficients, .*, expected 4 for equidistant'),
        (K, 'equidistant', [0.1] * 5, 'd: 5 coefficients, .*, expected 4 for equidistant'),
        (K, 'equidistant', [0.1, np.inf, 0, 0], r'd: \[0.1, inf, 0.0, 0.0\], expected numbers'),
        (K, 'plumb_bob', [1e300, 0, 0, 0], r'd: \[1e\+300, .*, expected numbers of at most'),
        (K, 'mei', [-1, 0, 0, 0, 0], 'xi: -1, expected 0 to 100'),
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
