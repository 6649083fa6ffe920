"""
What all tests share.

Leaves out, and says so, what a machine lacks the packages for: a board, a stock ROS 2.
"""

import importlib.util
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / 'rknn_standin'), str(HERE.parent / 'demo')]  # scripts, no packages

from rknn_standin import MODEL, build  # noqa: E402

NEEDS = {
    'model': ('onnx', 'onnxruntime', 'rosbags', 'tqdm', 'skimage'),
    'nodes': ('rclpy', 'onnx', 'onnxruntime', 'skimage'),
    'extract': ('onnx', 'onnxruntime', 'rosbags', 'tqdm', 'skimage'),
    'demo': ('rclpy', 'rosbags', 'tqdm', 'skimage'),
    'runtimes/test_onnx.py': ('onnx', 'onnxruntime', 'skimage'),
    'runtimes/test_onnx_errors.py': ('onnx', 'onnxruntime'),
    'test_doctor.py': ('onnx', 'onnxruntime'),
    'test_packaging.py': ('rclpy', 'setuptools'),
    'test_sources.py': ('rosbags', 'tqdm'),
}
MISSING = {
    HERE / place: [package for package in packages if importlib.util.find_spec(package) is None]
    for place, packages in NEEDS.items()
}


def pytest_ignore_collect(collection_path):
    return True if MISSING.get(collection_path) else None


def pytest_report_header():
    return [
        f'left out: {place.relative_to(HERE)}, needs {", ".join(packages)}'
        for place, packages in MISSING.items()
        if packages
    ]


@pytest.fixture(scope='session')
def photographs():
    """Folder of the photographs that scikit-image's wheel carries."""
    package = importlib.util.find_spec('skimage')
    if package is None:
        pytest.skip('needs the photographs of the scikit-image wheel')
    return Path(package.submodule_search_locations[0], 'data')


@pytest.fixture(scope='session')
def standin_libraries(tmp_path_factory):
    """Stand-ins of Rockchip's library, by generation."""
    folder = tmp_path_factory.mktemp('standin')
    return {generation: build(generation, folder) for generation in (1, 2)}


@pytest.fixture
def model(tmp_path):
    """Model file that the stand-ins accept."""
    path = tmp_path / 'superpoint.rknn'
    path.write_bytes(MODEL)
    return path


def alive(pid):
    try:
        state = Path(f'/proc/{pid}/stat').read_text().rpartition(') ')[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != 'Z'


@pytest.fixture
def all_gone():
    """Whether processes, named by their ids, end within half a minute."""

    def wait(pids):
        end = time.monotonic() + 30
        while any(map(alive, pids)) and time.monotonic() < end:
            time.sleep(0.05)
        return not any(map(alive, pids))

    return wait
