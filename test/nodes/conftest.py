import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest
from ros_graph import Graph, Rig


@pytest.fixture(scope='session')
def photo():
    """Grey photograph of 400x640."""
    package = importlib.util.find_spec('skimage')
    if package is None:
        pytest.skip('needs the photographs of the scikit-image wheel')
    path = Path(package.submodule_search_locations[0], 'data', 'motorcycle_left.png')
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    return np.ascontiguousarray(image[50:450, 50:690])


@pytest.fixture
def graph(tmp_path):
    graph = Graph(tmp_path)
    yield graph
    graph.close()


@pytest.fixture
def rig(graph):
    return Rig(graph)
