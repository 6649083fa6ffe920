"""Bags replayed: the same images give the same messages, at whatever speed they come."""

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import qos_profile_sensor_data
from rclpy.serialization import deserialize_message
from ros_graph import RELIABLE, Graph, Rig, image_message
from sensor_msgs.msg import Image

from superpoint_rknn.msg import Descriptors, Keypoints
from superpoint_rknn.nodes.superpoint.node import QUEUE_DEPTH

IMAGES = 8
PERIOD = 33  # [ms]
RATE = 10.0  # [Hz] of descriptors: 100 and 200 ms after the first image come
DESCRIBED = 0, 4, 7  # at 0, 132 and 231 ms
LATE = 4  # [ms] the second camera behind the first
BEGIN = 10_000  # [ms] stamp of the first image


class Replay:
    """A graph with a node, and the bytes of all that it publishes, by topic and stamp [ms]."""

    def __init__(self, graph, names, **parameters):
        self.graph = graph
        self.cameras = {}
        self.published = {}
        self.warm = set()
        for name in names:
            prefix = f'{name}/' if name else ''
            self.cameras[name] = graph.node.create_publisher(Image, f'{prefix}image', RELIABLE)
            for topic, kind in (('keypoints', Keypoints), ('descriptors', Descriptors)):
                self.listen(kind, prefix + topic)
        if names != ['']:
            parameters['cameras'] = f'[{",".join(names)}]'
        graph.start(deterministic='true', **{'descriptors.rate': RATE}, **parameters)
        for camera in self.cameras.values():
            graph.wait(camera.get_subscription_count, 'the node to take images')
        self.warm_up()

    def listen(self, kind, topic):
        published = self.published[topic] = {}

        def take(data):
            stamp = deserialize_message(data, kind).header.stamp
            ms = stamp.sec * 1000 + stamp.nanosec // 10**6
            self.warm.add(topic)
            if ms >= BEGIN:
                assert ms not in published
                published[ms] = data

        self.graph.node.create_subscription(kind, topic, take, RELIABLE, raw=True)

    def warm_up(self):
        """Show black until all topics are heard; each image has a stamp that is described."""
        for stamp in range(0, BEGIN // 2, 500):
            self.send(np.zeros((400, 640), np.uint8), stamp)
            if self.graph.spin(lambda: self.warm == set(self.published), 2.0):
                return
        pytest.fail(f'only {self.warm} came')

    def send(self, image, stamp):
        """Publish an image of each camera; stamp: [ms]."""
        for late, camera in enumerate(self.cameras.values()):
            message = image_message(image)
            message.header.stamp.sec, ms = divmod(stamp + LATE * late, 1000)
            message.header.stamp.nanosec = ms * 10**6
            camera.publish(message)

    def play(self, photo, slow):
        """All that is published of a moving photograph; slow: image by image."""
        keypoints = [v for topic, v in self.published.items() if topic.endswith('keypoints')]
        for number in range(IMAGES):
            self.send(np.roll(photo, 3 * number, axis=1), BEGIN + PERIOD * number)
            if slow:
                self.graph.wait(
                    lambda n=number: all(len(k) == n + 1 for k in keypoints), 'keypoints of each'
                )
        self.graph.wait(
            lambda: all(
                len(messages) == (IMAGES if topic.endswith('keypoints') else len(DESCRIBED))
                for topic, messages in self.published.items()
            ),
            'keypoints of every image, descriptors of some',
        )
        return self.published


@pytest.mark.parametrize(
    ('names', 'parameters'),
    [
        ([''], {'use_sim_time': 'true'}),
        (['cam0', 'cam1'], {}),
        (['cam0', 'cam1'], {'stereo': 'true'}),
    ],
    ids=['one', 'two', 'stereo'],
)
def test_the_same_images_give_the_same_messages_at_any_speed(tmp_path, photo, names, parameters):
    runs = []
    for slow in (False, True):
        graph = Graph(tmp_path)
        try:
            runs.append(Replay(graph, names, **parameters).play(photo, slow))
        finally:
            graph.close()
    fast, slow = runs
    assert fast.keys() == slow.keys()
    for late, prefix in enumerate(f'{name}/' if name else '' for name in names):
        stamps = [BEGIN + LATE * late + PERIOD * number for number in range(IMAGES)]
        assert list(fast[f'{prefix}keypoints']) == stamps  # in order
        assert list(fast[f'{prefix}descriptors']) == [stamps[i] for i in DESCRIBED]
    assert fast == slow
    assert len(set(fast[f'{prefix}keypoints'].values())) == IMAGES  # it is not always the same


def test_a_publisher_that_is_not_heard_is_told(graph):
    graph.node.create_publisher(Image, 'image', qos_profile_sensor_data)
    reports = graph.collect(DiagnosticArray, '/diagnostics')
    graph.start(deterministic='true')

    def told():
        return reports and reports[-1].status[0].message.startswith(
            '/image: its publisher is best effort'
        )

    graph.wait(told, 'the reason why there are no images')


def test_too_many_images_are_told_as_an_error_and_counted(graph):
    rig = Rig(graph)
    process = rig.start(deterministic='true')
    small = np.zeros((64, 64), np.uint8)

    def told():
        rig.send(small)
        graph.executor.spin_once(timeout_sec=0)
        return 'results are no longer repeatable' in process.log.read_text()

    graph.wait(told, 'the error')
    assert rig.sent > QUEUE_DEPTH
    assert 'ros2 bag play --rate' in process.log.read_text()
    reports = len(rig.diagnostics)
    code, seconds = graph.interrupt(process)
    assert code == 0
    assert seconds < 2
    graph.wait(lambda: len(rig.diagnostics) > reports, 'the last diagnostics')
    counts = rig.counts()
    assert counts['dropped'] > QUEUE_DEPTH // 2
    assert counts['received'] == counts['published'] + counts['dropped']
    assert counts['lost'] == 'unknown' or counts['received'] + counts['lost'] <= rig.sent
