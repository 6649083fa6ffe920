"""The nodes with recorded outputs of the network, and images from another process."""

import importlib.util

import pytest

from superpoint_rknn.bench.graph import has_ros, node_figures, start_figures, tracker_figures
from superpoint_rknn.bench.recordings import load_recording, recording_path

SIZE = (400, 640)
missing = [p for p in ('onnx', 'onnxruntime', 'skimage') if importlib.util.find_spec(p) is None]
pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(not has_ros() or bool(missing), reason='needs ROS and the network'),
]


def test_every_image_at_30_hz_gets_its_descriptors(tmp_path):
    load_recording(tmp_path, SIZE, count=1)
    figures = node_figures(
        recording_path(tmp_path, SIZE), rate=30.0, seconds=2.0, descriptors_rate=200.0
    )
    assert figures['published'] == 60
    assert 0 <= figures['dropped'] < 60  # a busy machine drops some
    # after a late timer tick only the newer of two images is described
    assert 0 < figures['descriptors'] <= 60 - figures['dropped']
    assert set(figures['callbacks_ms']) == {'image', 'descriptors', 'diagnostics'}


def test_descriptors_are_published_at_their_rate(tmp_path):
    load_recording(tmp_path, SIZE, count=1)
    figures = node_figures(
        recording_path(tmp_path, SIZE), rate=30.0, seconds=2.0, descriptors_rate=5.0
    )
    assert 1 <= figures['descriptors'] <= 15  # 5 a second; fewer on a busy machine


def test_both_nodes_publish_tracks_of_the_images(tmp_path):
    load_recording(tmp_path, SIZE, count=1)
    figures = tracker_figures(recording_path(tmp_path, SIZE), rate=15.0, seconds=2.0)
    assert figures['published'] == 30
    assert 0 <= figures['lost'] < 30  # a busy machine drops some
    assert 0 < figures['latency_ms']['p50'] <= figures['latency_ms']['max']


def test_start_and_memory_of_the_node(tmp_path):
    load_recording(tmp_path, SIZE, count=1)
    figures = start_figures(recording_path(tmp_path, SIZE))
    assert 0.1 < figures['cpu_seconds'] < 10
    assert figures['seconds'] > 0.1
    assert 60 < figures['resident_mb'] < 600  # Python, NumPy, OpenCV and DDS alone hold 70
