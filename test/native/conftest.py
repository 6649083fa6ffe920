import importlib.util
import os
from pathlib import Path

import pytest

from superpoint_rknn.bench.recordings import load_recording, read_recording, recording_path
from superpoint_rknn.native.library import library, load_library

CACHE = Path(__file__).parents[2] / '.cache' / 'bench'  # of ./dev bench
SIZE = (400, 640)


@pytest.fixture(scope='session')
def native():
    """The library of this installation; of the folder NATIVE_LIBRARY if that is set."""
    folder = os.environ.get('NATIVE_LIBRARY')
    loaded = load_library([folder]) if folder else library()
    assert loaded is not None
    return loaded


@pytest.fixture(scope='session')
def real_outputs(tmp_path_factory):
    """Outputs of the shipped network for photographs; made where onnxruntime is."""
    path = recording_path(CACHE, SIZE)
    if path.is_file():
        return read_recording(path)
    if importlib.util.find_spec('onnxruntime') is None:
        pytest.skip(f'needs {path}: run ./dev bench --quick on a PC first')
    if importlib.util.find_spec('skimage') is None:
        pytest.skip('needs the photographs of the scikit-image wheel')
    return load_recording(tmp_path_factory.mktemp('recording'), SIZE)
