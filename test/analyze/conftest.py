import pytest

from superpoint_rknn.quantize.command import quantize


@pytest.fixture(scope='session')
def network_file(weights_file, frames, tmp_path_factory):
    """An 8-bit network for model inputs of 64x96."""
    path = tmp_path_factory.mktemp('network') / 'small.onnx'
    quantize(weights_file, frames, path, (64, 96))
    return path
