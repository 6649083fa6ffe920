"""Binning and region of interest (REP 104), rectified images, and sizes."""

import cv2
import numpy as np
import pytest

from superpoint_rknn.tracking.calibration import Calibration

K = (400.0, 0.0, 319.5, 0.0, 410.0, 239.5, 0.0, 0.0, 1.0)
D = (-0.28, 0.07, 1e-3, -2e-3, 0.0)
PIXELS = np.array([100.0, 320, 600]), np.array([50.0, 200, 390])


def calibration(**fields):
    return Calibration(
        **{'height': 480, 'width': 640, 'distortion_model': 'plumb_bob', 'd': D, 'k': K, **fields}
    )


def test_size_0_is_not_compared():
    camera_model = calibration(height=0, width=0).camera_model((100, 100))
    assert camera_model.focal == 405


@pytest.mark.parametrize('binning', [(2, 2), (1, 4), (0, 0)])
def test_binned_pixels_have_the_direction_of_their_middle(binning):
    x, y = PIXELS
    bin_x, bin_y = np.maximum(binning, 1)
    camera_model = calibration(binning=binning).camera_model((480 // bin_y, 640 // bin_x))
    # Pixel 0 of 2x2 combines 0 and 1: its middle is 0.5.
    found = camera_model.undistort((x - (bin_x - 1) / 2) / bin_x, (y - (bin_y - 1) / 2) / bin_y)
    np.testing.assert_allclose(
        found, calibration().camera_model((480, 640)).undistort(x, y), atol=1e-9
    )


def test_region_of_interest_with_and_without_binning():
    expected = calibration().camera_model((480, 640)).undistort(*PIXELS)
    region = {'roi_offset': (100, 40), 'roi_size': (520, 400)}
    x, y = PIXELS[0] - 100, PIXELS[1] - 40
    cropped = calibration(**region).camera_model((400, 520))
    np.testing.assert_allclose(cropped.undistort(x, y), expected, atol=1e-9)
    binned = calibration(**region, binning=(2, 2)).camera_model((200, 260))
    np.testing.assert_allclose(binned.undistort((x - 0.5) / 2, (y - 0.5) / 2), expected, atol=1e-9)
    assert binned.focal == pytest.approx(405 / 2)


def test_rectified_images_give_the_directions_of_raw_ones():
    rotation = cv2.Rodrigues(np.array([0.02, -0.1, 0.03]))[0]
    projection = np.array([[500.0, 0, 330, -60], [0, 500, 250, 0], [0, 0, 1, 0]])
    camera = calibration(r=tuple(rotation.ravel()), p=tuple(projection.ravel()))
    raw = np.stack(PIXELS, axis=1)[:, None]
    rectified = cv2.undistortPointsIter(
        raw,
        np.reshape(K, (3, 3)),
        np.array(D),
        rotation,
        projection,
        (cv2.TERM_CRITERIA_COUNT, 50, 0),
    )
    np.testing.assert_allclose(
        camera.camera_model((480, 640), rectified=True).undistort(*rectified[:, 0].T),
        camera.camera_model((480, 640)).undistort(*PIXELS),
        atol=1e-6,
    )


@pytest.mark.parametrize(
    ('fields', 'rectified', 'reason'),
    [
        ({}, True, 'p: all 0, .* set the parameter rectified to false'),
        ({'p': (0, *[1.0] * 11)}, True, 'p: focal lengths 0, 1, expected positive'),
        ({'p': (*K[:3], 0, *K[3:6], 0, 0, 0, 1, 0)}, True, 'r: .*, expected a rotation matrix'),
        (
            {'p': (*K[:3], 0, *K[3:6], 0, 0, 0, 1, 0), 'r': (np.nan,) * 9},
            True,
            'r: .*, expected a rotation matrix',
        ),
        ({'height': 960, 'width': 1280}, False, '960, 1280: the images have 480, 640; .*or, .* 2'),
        ({'height': 500, 'width': 640}, False, '500, 640: .* calibrate at their size$'),
        ({'height': 240, 'width': 320}, False, '240, 320: .* calibrate at their size$'),
        (
            {'binning': (2, 2)},
            False,
            '480, 640, with binning and roi 240, 320: the images have 480, 640; set binning_x',
        ),
        ({'roi_size': (600, 400)}, False, 'with binning and roi 400, 600: the images have 480'),
    ],
)
def test_calibration_of_other_images_is_refused(fields, rectified, reason):
    with pytest.raises(ValueError, match=reason):
        calibration(**fields).camera_model((480, 640), rectified)
