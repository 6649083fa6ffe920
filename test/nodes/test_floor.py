"""The least node, which ./dev bench --floor measures, does the job of the superpoint node."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from ros_graph import Rig, image_message

from superpoint_rknn.bench.recordings import Recording
from superpoint_rknn.features.descriptors import DescriptorSampler
from superpoint_rknn.features.keypoints import DetectorSettings, KeypointDetector
from superpoint_rknn.features.quantization import Quantization
from superpoint_rknn.features.refine import refine

SCRIPT = Path(__file__).parents[1] / 'floor' / 'floor.py'
SIZE = (48, 64)

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def floor():
    """The module that builds the least node."""
    spec = importlib.util.spec_from_file_location('floor', SCRIPT)
    module = sys.modules['floor'] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize('dtype', [np.uint8, np.int8, np.float32])
def test_keypoints_and_descriptors(floor, graph, tmp_path, dtype):
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 2, (1, 65, 6, 8)).astype(np.float32)
    raw = rng.integers(-100, 100, (1, 16, 6, 8)).astype(np.int8)
    raw = raw.astype(dtype) if dtype == np.float32 else raw.view(dtype)
    quantization = None if dtype == np.float32 else Quantization(0.1, 20, np.dtype(dtype))
    image = rng.integers(0, 256, SIZE).astype(np.uint8)
    recording = Recording(image[None], logits, raw, quantization, 'noise@0')
    rig = Rig(graph)
    process = graph.start_program(floor.build(tmp_path), *floor.write_inputs(recording, tmp_path))

    def is_described():
        rig.camera.publish(message)
        return graph.spin(lambda: rig.descriptors, 0.1)

    message = image_message(image)
    message.header.stamp.sec, message.header.frame_id = 7, 'camera_optical'
    graph.wait(is_described, 'descriptors')
    points = KeypointDetector(*SIZE).detect(logits[0], DetectorSettings())
    keypoints = rig.keypoints[-1]
    assert keypoints.header == message.header
    assert (keypoints.height, keypoints.width) == SIZE
    expected_x, expected_y = refine(image, points.x, points.y)
    np.testing.assert_allclose(np.sort(keypoints.x), np.sort(expected_x), atol=1e-3)
    np.testing.assert_allclose(np.sort(keypoints.y), np.sort(expected_y), atol=1e-3)
    np.testing.assert_allclose(keypoints.score, points.score, atol=1e-6)
    described = rig.descriptors[-1]
    assert described.keypoints == keypoints
    x, y = (np.array(values, np.float32) for values in (keypoints.x, keypoints.y))
    expected = DescriptorSampler(16, 6, 8, quantization).sample_descriptors(raw[0], x, y)
    np.testing.assert_allclose(
        np.reshape(described.data, (-1, described.dim)), expected, atol=1e-6
    )
    assert graph.interrupt(process)[0] == 0
