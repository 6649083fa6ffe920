"""Replay of recordings into a running graph without losing images."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from recorded import ROS2, image_of, stamp, write_bag
from ros_graph import Rig

from superpoint_rknn import cli
from superpoint_rknn.replay import command

IMAGES = 12


@pytest.fixture
def bag(tmp_path, photo):
    """Images of a moving camera on /cam0/image_raw."""
    images = [image_of(ROS2, n, np.roll(photo, 3 * n, axis=1)) for n in range(IMAGES)]
    return write_bag(tmp_path / 'drive', {'/cam0/image_raw': images})


def test_every_image_has_its_keypoints_and_descriptors(graph, bag):
    """An inference takes 100 ms and more: `ros2 bag play` would lose most of the images."""
    rig = Rig(graph, name='cam0')
    rig.start(cameras='[cam0]', **{'descriptors.rate': 1000.0})
    rename = ('--ros-args', '-r', '/cam0/image_raw:=/cam0/image')
    waits = ('--wait-for', 'keypoints', '--wait-for', 'descriptors')
    process = graph.start('-m', 'superpoint_rknn.cli', 'replay', str(bag), *waits, *rename)
    graph.wait(lambda: process.poll() is not None, 'the replay to end', 60)
    assert process.returncode == 0, process.log.read_text()
    assert f'{IMAGES} images replayed' in process.log.read_text()
    for messages in (rig.keypoints, rig.descriptors):
        graph.wait(lambda m=messages: len(m) >= IMAGES, 'the last message')
        stamps = [m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for m in messages]
        assert stamps == [stamp(n) for n in range(IMAGES)]


def test_recorded_results_and_unknown_types_are_left_out(graph):
    images = SimpleNamespace(
        path=Path('drive'),
        is_ros1=False,
        types={
            '/cam0/image': 'sensor_msgs/msg/Image',
            '/cam0/keypoints': 'superpoint_rknn/msg/Keypoints',
            '/custom': 'no_such_package/msg/Custom',
        },
    )
    command.Player(graph.node, images, None)
    published = {topic: graph.node.count_publishers(topic) for topic in images.types}
    assert published == {'/cam0/image': 1, '/cam0/keypoints': 0, '/custom': 0}


def test_a_recording_without_subscribers_is_refused(graph, bag, monkeypatch, capsys):
    monkeypatch.setattr(command, 'START_TIMEOUT', 0.2)
    assert cli.main(['replay', str(bag)]) == 1
    assert '/cam0/image_raw: no node subscribes to it' in capsys.readouterr().err


def test_a_recording_without_images(tmp_path, capsys):
    header = ROS2.types['std_msgs/msg/Header'](
        stamp=ROS2.types['builtin_interfaces/msg/Time'](1, 0), frame_id=''
    )
    bag = write_bag(tmp_path / 'headers', {'/header': [header]})
    assert cli.main(['replay', str(bag)]) == 1
    assert 'no sensor_msgs/Image or CompressedImage' in capsys.readouterr().err
