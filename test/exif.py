"""A JPEG with EXIF data."""

import cv2
import numpy as np

ROTATE_BY_90_DEGREES = 6  # value of the tag Orientation


def rotated_jpeg():
    """
    Create a grey JPEG whose EXIF orientation is 90 degrees, as of a camera held upright.

    Return its bytes and its pixels as stored, (24, 32) uint8.
    """
    image = np.linspace(0, 255, 24 * 32).reshape(24, 32).astype(np.uint8)
    jpeg = cv2.imencode('.jpg', image)[1].tobytes()
    stored = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    # TIFF header, big-endian, with one directory of one entry: Orientation, a 16-bit integer
    tiff = b'MM' + words(42, 0, 8) + words(1, 0x0112, 3, 0, 1, ROTATE_BY_90_DEGREES, 0, 0, 0)
    exif = b'Exif\0\0' + tiff
    jpeg = jpeg[:2] + words(0xFFE1, len(exif) + 2) + exif + jpeg[2:]
    rotated = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert rotated.shape == stored.shape[::-1]  # by default, OpenCV applies the tag
    return jpeg, stored


def words(*values):
    return np.array(values, '>u2').tobytes()
