"""Annotations for Foxglove: their geometry, and the node in a graph."""

import os
import subprocess
import sys
import sysconfig
from types import SimpleNamespace

import numpy as np
import pytest
from foxglove_definitions import CMAKE, DEFINITIONS, PACKAGE
from ros_graph import RELIABLE
from std_msgs.msg import Header

from superpoint_rknn.msg import Keypoints
from superpoint_rknn.nodes.annotations import dots, segments

STAMP = Header().stamp
RED = np.array([[0, 0, 255]], np.uint8)  # BGR


def message_class(definition):
    """Class with the fields and constants of a message definition, without the middleware."""
    lines = [line.split() for line in definition.splitlines()]
    constants = dict(name.split('=') for _, name in lines if '=' in name)
    names = {name for _, name in lines if '=' not in name}

    def init(self, **fields):
        assert fields.keys() <= names
        self.__dict__.update(fields)

    return type('Message', (), {'__init__': init, **{k: int(v) for k, v in constants.items()}})


MESSAGES = SimpleNamespace(**{name: message_class(text) for name, text in DEFINITIONS.items()})


def places(annotation):
    return [(point.x, point.y) for point in annotation.points]


def test_the_centre_of_the_first_pixel_is_half_a_pixel_from_its_corner():
    annotation = dots(MESSAGES, STAMP, np.float32([[0, 2.25]]), RED)
    assert annotation.type == 1  # POINTS
    assert places(annotation) == [(0.5, 2.75)]
    (colour,) = annotation.outline_colors
    assert (colour.r, colour.g, colour.b, colour.a) == (1, 0, 0, 1)


def test_a_tail_is_a_line_for_each_movement():
    resting = np.float32([[5, 5]] * 3)
    moving = np.float32([[1, 1], [1, 1], [3, 1]])
    positions = np.stack([resting, moving, moving + 10])
    annotation = segments(MESSAGES, STAMP, positions, np.repeat(RED, 3, axis=0))
    assert annotation.type == 4  # LINE_LIST
    assert places(annotation) == [(1.5, 1.5), (3.5, 1.5), (11.5, 11.5), (13.5, 11.5)]
    assert len(annotation.outline_colors) == 2  # one for each line


@pytest.fixture
def foxglove_msgs(tmp_path):
    """Environment variables with foxglove_msgs, built from its public definitions."""
    source, prefix = tmp_path / 'source', tmp_path / 'prefix'
    (source / 'msg').mkdir(parents=True)
    for name, text in DEFINITIONS.items():
        (source / f'msg/{name}.msg').write_text(text)
    (source / 'package.xml').write_text(PACKAGE)
    files = ' '.join(f'msg/{name}.msg' for name in DEFINITIONS)
    (source / 'CMakeLists.txt').write_text(CMAKE.replace('{files}', files))
    prefixes = os.environ['AMENT_PREFIX_PATH']
    build = ['cmake', '-S', source, '-B', tmp_path / 'build', f'-DCMAKE_INSTALL_PREFIX={prefix}']
    build += [f'-DCMAKE_PREFIX_PATH={prefixes.replace(":", ";")}']
    build += [f'-DPython3_EXECUTABLE={sys.executable}']
    install = ['cmake', '--build', tmp_path / 'build', '--parallel', '2', '--target', 'install']
    for command in (build, install):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    packages = sysconfig.get_path('purelib', vars={'base': str(prefix)})
    libraries = f'{prefix / "lib"}:{os.environ.get("LD_LIBRARY_PATH", "")}'
    return {
        'PYTHONPATH': packages,
        'AMENT_PREFIX_PATH': f'{prefix}:{prefixes}',
        'LD_LIBRARY_PATH': libraries,
    }


RECEIVER = """
import rclpy
from foxglove_msgs.msg import ImageAnnotations
rclpy.init()
node = rclpy.create_node('receiver')
topics = 'keypoints_annotations', 'tracks_annotations'
received = {}
def keep(topic, message):
    if topic not in received:
        received[topic] = message
        print(topic, [(a.type, len(a.points), len(a.outline_colors)) for a in message.points])
for topic in topics:
    node.create_subscription(ImageAnnotations, topic, lambda m, t=topic: keep(t, m), 5)
while len(received) < 2:
    rclpy.spin_once(node)
"""


@pytest.mark.slow
def test_annotations_of_the_node_in_a_graph(graph, foxglove_msgs):
    node = graph.start('-m', 'superpoint_rknn.nodes.annotations', env=foxglove_msgs)
    receiver = graph.start_program(sys.executable, '-c', RECEIVER, env=foxglove_msgs)
    outputs = [
        graph.node.create_publisher(Keypoints, t, RELIABLE) for t in ('keypoints', 'tracks')
    ]
    sent = 0

    def send():
        nonlocal sent
        sent += 1
        message = Keypoints(height=100, width=100, x=[5.0 + sent % 50] * 2, y=[6.0, 7.0])
        message.score = [0.1, 1.0]
        outputs[0].publish(message)
        message.id, message.age = [1, 2], [sent, 1]
        outputs[1].publish(message)
        graph.spin(lambda: False, 0.1)
        return receiver.poll() is not None

    graph.wait(send, 'annotations of keypoints and tracks')
    log = receiver.log.read_text()
    assert 'keypoints_annotations [(1, 2, 2)]' in log
    assert 'tracks_annotations [(1, 2, 2), (4, ' in log
    assert graph.interrupt(node)[0] == 0


def test_ros_arguments_that_are_not_understood_end_in_one_line(graph, tmp_path):
    package = tmp_path / 'foxglove_msgs'
    package.mkdir()
    (package / '__init__.py').write_text('msg = None\n')
    node = graph.start(
        *('-m', 'superpoint_rknn.nodes.annotations', '--ros-args', '-r', 'nonsense'),
        env={'PYTHONPATH': str(tmp_path)},
    )
    graph.wait(lambda: node.poll() is not None, 'the end')
    assert node.returncode == 1
    assert '\nnot started: ROS arguments not understood: ' in node.log.read_text()
    assert 'Traceback' not in node.log.read_text()


def test_without_foxglove_msgs_the_node_says_what_to_install(graph):
    node = graph.start('-m', 'superpoint_rknn.nodes.annotations')
    graph.wait(lambda: node.poll() is not None, 'the end')
    assert node.returncode == 1
    assert 'sudo apt install ros-$ROS_DISTRO-foxglove-msgs' in node.log.read_text()
