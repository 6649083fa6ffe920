"""The demo with real processes in a real ROS graph."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

demo_bag = pytest.importorskip('bag', reason='the demo records with the rosbags library')
canvas = pytest.importorskip('canvas', reason='the demo draws with Pillow')
pytest.importorskip('tqdm', reason='the demo shows its progress with tqdm')
pytest.importorskip('rclpy', reason='the demo needs ROS 2')
pytest.importorskip('superpoint_rknn.msg', reason='the messages are not built')

PROGRAM = [sys.executable, str(Path(demo_bag.__file__).with_name('demo.py')), '--source', 'sweep']


@pytest.fixture(scope='module')
def run_of_the_demo(tmp_path_factory):
    """Output folder of a short run: 80 images in 8 s."""
    out = tmp_path_factory.mktemp('demo')
    arguments = ['--seconds', '8', '--rate', '10', '--out', str(out)]
    done = subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return out


def test_counts_of_the_summary_are_consistent(run_of_the_demo):
    figures = json.loads((run_of_the_demo / 'summary.json').read_text())
    assert figures['images_published'] == 80
    assert figures['images_failed'] == 0
    assert figures['images_received'] == figures['keypoints_messages'] + figures['images_dropped']
    assert figures['images_lost'] == 80 - figures['images_received']
    assert figures['descriptors_messages'] > 0
    assert figures['stamps_match'] is True
    assert figures['points_mean'] > 100
    assert figures['tracks_messages'] > 0
    assert figures['matches_mean'] > 0
    assert 'onnxruntime' in figures['runtime']


def test_the_bag_has_all_messages(run_of_the_demo):
    figures = json.loads((run_of_the_demo / 'summary.json').read_text())
    found = demo_bag.read(run_of_the_demo / 'bag')
    assert len(found.images) == 80
    assert len(found.keypoints) == figures['keypoints_messages']
    assert len(found.descriptors) == figures['descriptors_messages']
    assert len(found.tracks) == figures['tracks_messages']
    stamps = [header.stamp_ns for header in found.images]
    assert stamps == sorted(set(stamps))


def test_the_video_has_a_frame_per_image(run_of_the_demo):
    video = cv2.VideoCapture(str(run_of_the_demo / 'overlay.mp4'))
    shown = []
    while (read := video.read())[0]:
        shown.append(read[1])
    assert len(shown) == 80
    assert video.get(cv2.CAP_PROP_FPS) == 10
    assert shown[0].shape[1] == 2 * 640 + canvas.GAP
    colourful = np.ptp(shown[-1], axis=2) > 100
    assert colourful.mean() > 0.02  # keypoints, tracks, matches
    assert cv2.imread(str(run_of_the_demo / 'contact_sheet.png')) is not None


def test_a_node_that_cannot_start_ends_the_demo(tmp_path):
    done = subprocess.run(
        [*PROGRAM, '--out', str(tmp_path), '--model', '/no/model.onnx'],
        capture_output=True,
        text=True,
        timeout=100,  # [s] less than the timeout of the demo
    )
    assert done.returncode == 1
    assert done.stderr.count('\n') == 1
    assert '/no/model.onnx' in done.stderr


def test_an_interrupted_demo_leaves_no_process(tmp_path, all_exited):
    command = [*PROGRAM, '--out', str(tmp_path), '--seconds', '600']
    demo = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    children = Path(f'/proc/{demo.pid}/task/{demo.pid}/children')
    with demo:
        try:
            end = time.monotonic() + 100
            while len(pids := children.read_text().split()) < 3 and time.monotonic() < end:
                time.sleep(0.05)
            demo.send_signal(signal.SIGINT)
            assert demo.wait(60) == 130
        finally:
            demo.kill()
        assert demo.stderr.read() == 'demo: interrupted\n'
    assert len(pids) == 3
    assert all_exited(pids)
