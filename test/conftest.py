"""
Fixtures of all tests.

Tests whose packages are missing, as on a board or with a stock ROS 2, are not collected; the
header of the report lists them.
"""

import importlib.util
import logging
import os
import shutil
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

HERE = Path(__file__).parent
WEIGHTS = HERE.parent / 'models' / 'superpoint.npz'
sys.path[:0] = [str(HERE / 'rknn_standin'), str(HERE.parent / 'demo')]  # scripts, no packages
sys.path.append(str(HERE.parent))  # for training/; the package itself may be installed elsewhere

from rknn_standin import MODEL, build  # noqa: E402

OFFLINE = ('onnx', 'onnxruntime', 'rosbags', 'tqdm', 'skimage')
NEEDS = {
    'analyze': (*OFFLINE, 'matplotlib', 'jinja2'),
    'board_report': () if 'GOLDEN_OUTPUTS' in os.environ else ('onnxruntime',),
    'convert': OFFLINE,
    'evaluate': OFFLINE,
    'fuzz': OFFLINE,
    'quantize': OFFLINE,
    'native/test_native_properties.py': ('hypothesis',),
    'network': OFFLINE,
    'nodes': ('rclpy', 'onnx', 'onnxruntime', 'skimage'),
    'extract': OFFLINE,
    'demo': ('rclpy', 'rosbags', 'tqdm', 'skimage', 'PIL'),
    'runtimes/test_onnx.py': ('onnx', 'onnxruntime', 'skimage'),
    'runtimes/test_onnx_errors.py': ('onnx', 'onnxruntime'),
    'runtimes/test_onnx_float.py': ('onnx', 'onnxruntime'),
    'doctor': ('onnx', 'onnxruntime'),
    'test_packaging.py': ('rclpy', 'setuptools'),
    'sources': ('rosbags', 'tqdm'),
    'view': ('rclpy',),
    'vio': ('gtsam', 'evo', 'rosbags', 'tqdm', 'skimage', 'yaml'),
}
MISSING = {
    place: [package for package in packages if importlib.util.find_spec(package) is None]
    for place, packages in NEEDS.items()
}
collect_ignore = [place for place, packages in MISSING.items() if packages]

# CMake would use make, which a compiler does not bring along; ninja comes with the wheels.
if shutil.which('ninja'):
    os.environ.setdefault('CMAKE_GENERATOR', 'Ninja')

# caplog needs loggers that propagate; the pytest plugin of launch_testing, which every ROS 2 has,
# sets a class whose loggers do not. Reset it before the package creates its loggers.
logging.setLoggerClass(logging.Logger)


def pytest_report_header():
    return [
        f'not collected: {place}, needs {", ".join(MISSING[place])}' for place in collect_ignore
    ]


@pytest.fixture(scope='session')
def photographs():
    """Folder of the photographs in the wheel of scikit-image."""
    package = importlib.util.find_spec('skimage')
    if package is None:
        pytest.skip('needs the photographs of the scikit-image wheel')
    return Path(package.submodule_search_locations[0], 'data')


@pytest.fixture(scope='session')
def photograph(photographs):
    """Colour photograph, (512, 512, 3) uint8 BGR."""
    return cv2.imread(str(photographs / 'astronaut.png'))


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


def is_running(pid):
    try:
        state = Path(f'/proc/{pid}/stat').read_text().rpartition(') ')[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != 'Z'


@pytest.fixture
def all_exited():
    """Function that returns whether the processes with these ids exit within 30 s."""

    def wait(pids):
        end = time.monotonic() + 30
        while any(map(is_running, pids)) and time.monotonic() < end:
            time.sleep(0.05)
        return not any(map(is_running, pids))

    return wait


@pytest.fixture(scope='session')
def weights_file():
    return WEIGHTS


@pytest.fixture(scope='session')
def weights():
    from superpoint_rknn.network.weights import load_weights

    return load_weights(WEIGHTS)


@pytest.fixture(scope='session')
def frames(photographs):
    """Photographs that are no calibration images of the shipped models."""
    from superpoint_rknn.sources.frame import Frame

    return [
        Frame(cv2.imread(str(photographs / name)), None, name)
        for name in ('astronaut.png', 'coffee.png', 'chelsea.png')
    ]


@pytest.fixture
def random_weights():
    """Random weights with floors, as folded batch normalization has; activations of about 1."""
    from superpoint_rknn.network.network import LAYERS, Weights

    rng = np.random.default_rng(7)
    kernels, biases, floors = {}, {}, {}
    for layer in LAYERS:
        shape = (layer.outputs, layer.inputs, layer.kernel, layer.kernel)
        deviation = (2 / np.prod(shape[1:])) ** 0.5 / (255 if layer.inputs == 1 else 1)
        kernels[layer.name] = rng.normal(0, deviation, shape).astype(np.float32)
        biases[layer.name] = rng.normal(0, 0.1, layer.outputs).astype(np.float32)
        if layer.relu:
            floors[layer.name] = rng.normal(0, 0.3, layer.outputs).astype(np.float32)
    return Weights(kernels, biases, floors)


@pytest.fixture(scope='session')
def run_onnx():
    """Function that runs a model on an image, (H, W); its outputs have no batch dimension."""

    def run(model, image):
        import onnxruntime

        session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=['CPUExecutionProvider']
        )
        return [output[0] for output in session.run(None, {'image': image[None, None]})]

    return run
