import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / 'rknn_standin'))

from rknn_standin import MODEL, Standin, build


@pytest.fixture(scope='session')
def standin_libraries(tmp_path_factory):
    folder = tmp_path_factory.mktemp('standin')
    return {generation: build(generation, folder) for generation in (1, 2)}


def checked(generation, standin_libraries):
    standin = Standin(generation, standin_libraries[generation])
    yield standin
    assert standin.violations() == ''
    assert standin.count('outputs') == 0
    standin.reset()


@pytest.fixture(params=[1, 2], ids=['v1', 'v2'])
def standin(request, standin_libraries):
    """A stand-in of either generation; the test fails if it saw anything wrong."""
    yield from checked(request.param, standin_libraries)


@pytest.fixture
def standin2(standin_libraries):
    """A stand-in of generation 2."""
    yield from checked(2, standin_libraries)


@pytest.fixture
def model(tmp_path):
    path = tmp_path / 'superpoint.rknn'
    path.write_bytes(MODEL)
    return path
