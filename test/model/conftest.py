import importlib.util
import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from torch_writer import torch_names  # noqa: F401  (a fixture)

from superpoint_rknn.model.network import LAYERS, Weights
from superpoint_rknn.model.weights import load_weights
from superpoint_rknn.sources import Frame

WEIGHTS = Path(__file__).parents[2] / 'models' / 'superpoint.npz'
PICTURES = Path(importlib.util.find_spec('skimage').submodule_search_locations[0]) / 'data'


@pytest.fixture(scope='session')
def weights_file():
    return WEIGHTS


@pytest.fixture(scope='session')
def weights():
    return load_weights(WEIGHTS)


@pytest.fixture(scope='session')
def frames():
    """Real pictures that the shipped network wasn't calibrated on."""
    return [
        Frame(cv2.imread(str(PICTURES / name)), None, name)
        for name in ('astronaut.png', 'coffee.png', 'chelsea.png')
    ]


@pytest.fixture
def random_weights():
    """Weights with floors, as batch normalisation leaves them; activations stay about 1."""
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
    """A function: model and image (H, W) -> its outputs, without the leading 1."""

    def run(model, image):
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=['CPUExecutionProvider']
        )
        return [output[0] for output in session.run(None, {'image': image[None, None]})]

    return run
