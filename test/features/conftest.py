import cv2
import pytest


@pytest.fixture(scope='session')
def photograph(photographs):
    """Colour photograph, (512, 512, 3) uint8 bgr, from scikit-image's wheel."""
    return cv2.imread(str(photographs / 'astronaut.png'))
