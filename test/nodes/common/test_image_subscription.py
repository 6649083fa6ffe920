"""Lost images by the sequence numbers of a publisher, with a stand-in node."""

import pytest

from superpoint_rknn.nodes.common.diagnostics import ImageCounters
from superpoint_rknn.nodes.common.image_subscription import HAS_MESSAGE_INFO, ImageSubscription

pytestmark = pytest.mark.skipif(not HAS_MESSAGE_INFO, reason='this rclpy does not number messages')


class Node:
    """Stand-in with those methods of a node that a subscription calls."""

    publishers = 1
    _parameter_overrides = {}

    def resolve_topic_name(self, topic):
        return f'/{topic}'

    def create_subscription(self, kind, topic, callback, qos, **_):
        self.callback = callback

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
        node.callback('image', {'publication_sequence_number': number})


def test_gaps_count_as_lost_images(node, counters):
    receive(node, 5, 6, 9, 10, 12)
    assert counters.lost_is_known
    assert counters['lost'] == 3


def test_a_restarted_publisher_loses_no_images(node, counters):
    receive(node, 100, 1, 2)
    assert counters['lost'] == 0


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
