import cv2
import numpy as np
import pytest
from ros_graph import Graph, Rig


@pytest.fixture(scope='session')
def photo(photographs):
    """Grey photograph of 400x640."""
    image = cv2.imread(str(photographs / 'motorcycle_left.png'), cv2.IMREAD_GRAYSCALE)
    return np.ascontiguousarray(image[50:450, 50:690])


@pytest.fixture
def graph(tmp_path):
    graph = Graph(tmp_path)
    yield graph
    graph.close()


@pytest.fixture
def rig(graph):
    return Rig(graph)
