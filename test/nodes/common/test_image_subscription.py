"""The image subscription: lost images by sequence numbers, and what the publishers offer."""

from array import array

import cv2
import numpy as np
import pytest
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_graph import image_message
from sensor_msgs.msg import CompressedImage, Image

from superpoint_rknn.nodes.common.diagnostics import ImageCounters
from superpoint_rknn.nodes.common.image_subscription import ImageSubscription
from superpoint_rknn.nodes.common.message_numbers import HAS_MESSAGE_INFO

numbered = pytest.mark.skipif(not HAS_MESSAGE_INFO, reason='this rclpy does not number messages')


class Node:
    """Stand-in with those methods of a node that a subscription calls."""

    publishers = 1
    _parameter_overrides = {}

    def resolve_topic_name(self, topic):
        return f'/{topic}'

    def create_subscription(self, kind, topic, callback, qos, **_):
        self.callback = callback

    def get_publishers_info_by_topic(self, topic):
        return []

    def count_publishers(self, topic):
        assert topic == '/image'
        return self.publishers


@pytest.fixture
def node():
    return Node()


@pytest.fixture
def counters(node):
    counters = ImageCounters()
    ImageSubscription(node, 'image', 'raw', lambda message: None, counters)
    return counters


def receive(node, *numbers):
    for number in numbers:
        node.callback(Image(), {'publication_sequence_number': number})


@numbered
def test_gaps_count_as_lost_images(node, counters):
    receive(node, 5, 6, 9, 10, 12)
    assert counters.lost_is_known
    assert counters['lost'] == 3


@numbered
def test_a_restarted_publisher_loses_no_images(node, counters):
    receive(node, 100, 1, 2)
    assert counters['lost'] == 0


@numbered
def test_numbers_of_two_publishers_and_the_first_one_after_are_ignored(node, counters):
    receive(node, 998, 999)
    node.publishers = 2
    receive(node, 10, 1000, 11)
    assert not counters.lost_is_known
    node.publishers = 1
    receive(node, 1002)
    assert counters['lost'] == 0
    receive(node, 1004)
    assert counters.lost_is_known
    assert counters['lost'] == 1


GREY = np.arange(24, dtype=np.uint8).reshape(4, 6)
RELIABLE, BEST_EFFORT = (
    QoSProfile(depth=5, reliability=policy)
    for policy in (ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT)
)


@pytest.fixture
def camera(graph):
    """Function: a publisher of a type on a topic, and a function that publishes an image."""

    def publish_on(kind, topic, profile=BEST_EFFORT):
        publisher = graph.node.create_publisher(kind, topic, profile)
        data = array('B', cv2.imencode('.png', GREY)[1].tobytes())
        compressed = CompressedImage(format='png', data=data)
        message = image_message(GREY) if kind is Image else compressed
        return publisher, lambda: publisher.publish(message)

    return publish_on


@pytest.fixture
def follow(graph):
    """Function: waits until a new subscription, checked all the time, is as expected."""

    def subscribe(name='cam/image', transport='auto'):
        received = []
        subscription = ImageSubscription(
            graph.node, name, transport, received.append, ImageCounters()
        )

        def wait(expected, send=None):
            def arrived():
                subscription.check()
                if send is not None:
                    send()
                return str(subscription) == expected and (send is None or received)

            received.clear()
            graph.wait(arrived, f'{expected}, is {subscription}')
            return received

        return wait

    return subscribe


@pytest.mark.parametrize(
    ('name', 'topic'),
    [
        ('cam/image', '/cam/image/compressed'),
        ('cam/image/compressed', '/cam/image/compressed'),
        ('jpeg', '/jpeg'),
    ],
)
def test_compressed_images_are_found_under_both_names(camera, follow, name, topic):
    _, send = camera(CompressedImage, topic)
    (message, *_) = follow(name)(f'{topic} [compressed, best effort]', send)
    assert isinstance(message, CompressedImage)


def test_raw_images_are_preferred_and_followed_while_running(graph, camera, follow):
    wait = follow()
    wait('/cam/image [raw, best effort]')
    _, send_compressed = camera(CompressedImage, 'cam/image/compressed')
    wait('/cam/image/compressed [compressed, best effort]', send_compressed)
    raw, send_raw = camera(Image, 'cam/image')
    assert isinstance(wait('/cam/image [raw, best effort]', send_raw)[0], Image)
    graph.node.destroy_publisher(raw)
    wait('/cam/image/compressed [compressed, best effort]', send_compressed)


def test_a_fixed_transport_is_kept(camera, follow):
    camera(CompressedImage, 'cam/image/compressed', RELIABLE)
    wait = follow(transport='raw')
    _, send = camera(Image, 'cam/image', RELIABLE)
    wait('/cam/image [raw, reliable]', send)
    follow('cam/image/compressed', 'compressed')('/cam/image/compressed [compressed, reliable]')


def test_the_subscription_is_reliable_while_all_publishers_are(graph, camera, follow):
    wait = follow()
    camera(Image, 'cam/image', RELIABLE)
    wait('/cam/image [raw, reliable]')
    other, _ = camera(Image, 'cam/image')
    wait('/cam/image [raw, best effort]')
    graph.node.destroy_publisher(other)
    wait('/cam/image [raw, reliable]')


@numbered
def test_images_that_are_lost_while_the_subscription_is_replaced_are_counted(graph):
    counters, received, sent = ImageCounters(), [], []
    subscription = ImageSubscription(
        graph.node, 'cam/image', 'raw', lambda message: received.append(message.height), counters
    )
    camera = graph.node.create_publisher(Image, 'cam/image', RELIABLE)

    def publish_and_wait():
        before = len(received)

        def arrived():
            sent.append(len(sent) + 1)
            camera.publish(Image(height=sent[-1]))
            return len(received) > before

        graph.wait(arrived, 'an image')
        graph.spin(lambda: received[-1] == sent[-1], 1.0)

    publish_and_wait()
    assert 'best effort' in str(subscription)
    graph.wait(lambda: subscription.check() or 'reliable' in str(subscription), 'it to follow')
    for _ in range(3):  # before it is connected, or replaced by newer ones in the queue of 1
        sent.append(len(sent) + 1)
        camera.publish(Image(height=sent[-1]))
    publish_and_wait()
    assert counters['lost'] >= 3
    assert len(received) + counters['lost'] == sent[-1] - received[0] + 1


@numbered
def test_mixed_images_of_two_publishers_are_told(graph):
    subscription = ImageSubscription(
        graph.node, 'cam/image', 'raw', lambda message: None, ImageCounters()
    )
    first = graph.node.create_publisher(Image, 'cam/image', RELIABLE)
    second = graph.node.create_publisher(Image, 'cam/image', RELIABLE)
    warnings = []

    def check(*publishers):
        for publisher in publishers:
            publisher.publish(Image())
            graph.spin(lambda: False, 0.02)
        warnings.append(subscription.check() or '')
        return 'several publishers are mixed: /test' in warnings[-1]

    for _ in range(30):  # one of two publishers sends
        assert not check(first)
    graph.wait(lambda: check(first, second), 'the warning')
    graph.node.destroy_publisher(second)
    graph.wait(lambda: not check(first), 'its end')
