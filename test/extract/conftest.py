"""Views of a camera that moves over a photograph, and a small network."""

import cv2
import numpy as np
import pytest
from recorded import HEIGHT, ROS2, WIDTH, image_of, write_bag

from superpoint_rknn.cli import main
from superpoint_rknn.quantize.command import quantize
from superpoint_rknn.runtimes.model_files import shipped_models
from superpoint_rknn.sources.frame import Frame


@pytest.fixture(scope='session')
def photograph(photographs):
    image = cv2.imread(str(photographs / 'motorcycle_left.png'), cv2.IMREAD_GRAYSCALE)
    return cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


@pytest.fixture(scope='session')
def pictures(photograph):
    """Views of 120x160, each moved by two pixels."""
    return [
        np.ascontiguousarray(photograph[60 + n : 60 + n + HEIGHT, 60 + 2 * n : 60 + 2 * n + WIDTH])
        for n in range(6)
    ]


@pytest.fixture(scope='session')
def model(tmp_path_factory, pictures):
    """8-bit model of the shipped weights, for model inputs of 120x160."""
    path = tmp_path_factory.mktemp('model') / 'small.onnx'
    frames = [Frame(picture, None, 'view') for picture in pictures[:2]]
    quantize(shipped_models() / 'superpoint.npz', frames, path, (HEIGHT, WIDTH))
    return path


@pytest.fixture
def extract(model):
    """Function that runs the command with the small network; returns the exit code."""

    def run(*arguments):
        return main(['extract', '--model', str(model), *map(str, arguments)])

    return run


@pytest.fixture
def bag(tmp_path, pictures):
    """Six images on /cam0/image_raw."""
    messages = [image_of(ROS2, n, picture) for n, picture in enumerate(pictures)]
    return write_bag(tmp_path / 'drive', {'/cam0/image_raw': messages})
