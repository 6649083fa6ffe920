import cv2
import numpy as np
import pytest
from ros_graph import Graph, Rig


def motorcycle(photographs, side):
    """Grey photograph of 400x640, of one side of a stereo pair."""
    image = cv2.imread(str(photographs / f'motorcycle_{side}.png'), cv2.IMREAD_GRAYSCALE)
    return np.ascontiguousarray(image[50:450, 50:690])


@pytest.fixture(scope='session')
def photo(photographs):
    """Grey photograph of 400x640."""
    return motorcycle(photographs, 'left')


@pytest.fixture(scope='session')
def right_photo(photographs):
    """What a camera to the right of the one of `photo` sees at the same time."""
    return motorcycle(photographs, 'right')


@pytest.fixture
def graph(tmp_path):
    graph = Graph(tmp_path)
    yield graph
    graph.close()


@pytest.fixture
def rig(graph):
    return Rig(graph)
