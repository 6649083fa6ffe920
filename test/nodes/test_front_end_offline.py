"""The nodes and `superpoint_rknn extract` compute the same features."""

import cv2
import numpy as np
import pytest
from ros_graph import RELIABLE, TIMEOUT, image_message
from sensor_msgs.msg import Image

from superpoint_rknn.cli import main
from superpoint_rknn.msg import Descriptors, Keypoints
from superpoint_rknn.nodes.front_end import FrontEnd
from superpoint_rknn.nodes.tracker.queue import TrackerQueue
from superpoint_rknn.tracking.tracker import Tracker

pytest.importorskip('rosbags', reason='recordings are read with the rosbags library')
pytest.importorskip('tqdm', reason='extraction shows its progress with tqdm')

STEP = 50_000_000  # [ns]
PARAMETERS = {'max_tracks': 150, 'detector.max_keypoints': 300}
NAMES = ('keypoints', 'descriptors', 'tracks')


def values_of(message):
    """Values of a message of rclpy or rosbags, for comparison."""
    if hasattr(message, 'dim'):
        points = values_of(message.keypoints)
        return (*points, message.dim, message.model, np.asarray(message.data).tobytes())
    stamp = message.header.stamp
    arrays = (message.x, message.y, message.score, message.id, message.age)
    return (
        *(stamp.sec, stamp.nanosec, message.header.frame_id, message.height, message.width),
        *(np.asarray(array).tobytes() for array in arrays),
    )


def write_bag(path, messages):
    """Record messages on /image, serialized by rclpy."""
    from rclpy.serialization import serialize_message
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection(
            '/image', 'sensor_msgs/msg/Image', typestore=get_typestore(Stores.ROS2_HUMBLE)
        )
        for number, message in enumerate(messages, 1):
            writer.write(connection, number, serialize_message(message))


def read_bag(path):
    from rosbags.highlevel import AnyReader

    messages = {}
    with AnyReader([path]) as reader:
        for connection, _, data in reader.messages():
            message = reader.deserialize(data, connection.msgtype)
            messages.setdefault(connection.topic, []).append(values_of(message))
    return messages


@pytest.fixture
def described(monkeypatch):
    """List to which the stamp of each image is appended whose descriptors a tracker has added."""
    stamps, add = [], Tracker.add_descriptors

    def add_and_record(self, stamp, *args):
        count = add(self, stamp, *args)
        stamps.append(stamp)
        return count

    monkeypatch.setattr(Tracker, 'add_descriptors', add_and_record)
    return stamps


@pytest.fixture
def patient_tracker(monkeypatch):
    """Let images wait for slow inferences: longer than `keypoints_wait` allows."""
    put = TrackerQueue.put_image
    monkeypatch.setattr(
        TrackerQueue, 'put_image', lambda self, image, _, *args: put(self, image, TIMEOUT, *args)
    )


def test_extracted_features_equal_published_ones(
    graph, photographs, tmp_path, described, patient_tracker
):
    photo = cv2.imread(str(photographs / 'motorcycle_left.png'), cv2.IMREAD_GRAYSCALE)
    messages = []
    for number in range(5):
        view = photo[50 + number : 450 + number, 50 + 3 * number : 690 + 3 * number]
        message = image_message(np.ascontiguousarray(view))
        message.header.frame_id = 'camera'
        stamp = divmod(10**12 + number * STEP, 10**9)
        message.header.stamp.sec, message.header.stamp.nanosec = stamp
        messages.append(message)

    published = {
        f'/{name}': graph.collect(Descriptors if name == 'descriptors' else Keypoints, name)
        for name in NAMES
    }
    camera = graph.node.create_publisher(Image, 'image', RELIABLE)
    with FrontEnd(
        graph.context,
        executor=graph.executor,
        parameters={
            **PARAMETERS,
            'descriptors.rate': 1000.0,  # of every image
            'npu.timeout': TIMEOUT,
        },
    ):
        graph.wait(camera.get_subscription_count, 'the node to subscribe to images')
        for number, message in enumerate(messages):
            camera.publish(message)
            # The tracker adds descriptors before the next image, as `extract` does.
            for received in (*published.values(), described):
                graph.wait(lambda r=received, n=number: len(r) > n, 'features')

    write_bag(tmp_path / 'bag', messages)
    given = [text for n, value in PARAMETERS.items() for text in ('-p', f'{n}:={value}')]
    output = tmp_path / 'features'
    command = ['extract', str(tmp_path / 'bag'), '-o', str(output)]
    assert main([*command, *given]) == 0
    assert read_bag(output) == {
        topic: [values_of(message) for message in received]
        for topic, received in published.items()
    }
