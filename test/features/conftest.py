import importlib.util
from pathlib import Path

import cv2
import pytest


@pytest.fixture(scope='session')
def photograph():
    """Colour photograph, (512, 512, 3) uint8 bgr, from scikit-image's wheel."""
    package = importlib.util.find_spec('skimage')
    if package is None:
        pytest.skip('needs the photographs of the scikit-image wheel')
    return cv2.imread(str(Path(package.submodule_search_locations[0], 'data', 'astronaut.png')))
