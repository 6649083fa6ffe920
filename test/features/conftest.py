import importlib.util
from pathlib import Path

import cv2
import pytest


@pytest.fixture(scope='session')
def photograph():
    """Colour photograph, (512, 512, 3) uint8 bgr, from scikit-image's wheel."""
    package = importlib.util.find_spec('skimage').submodule_search_locations[0]
    return cv2.imread(str(Path(package, 'data', 'astronaut.png')))
