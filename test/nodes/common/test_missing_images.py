"""Why no images arrive, and what to do: reasons that the ROS graph shows."""

import pytest
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

from superpoint_rknn.nodes.common.missing_images import reason_for_missing_images

BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


@pytest.fixture
def camera(graph):
    """Another node than the one that looks for the reason."""
    node = rclpy.create_node('driver', context=graph.context)
    yield node
    node.destroy_node()


@pytest.fixture
def reason(graph, camera):
    """Function: the reason once it contains a text; `publishers` are (type, topic)."""

    def find(expected, *publishers, kind=Image, reliable=False):
        for message_type, topic in publishers:
            camera.create_publisher(message_type, topic, BEST_EFFORT)

        def found():
            return expected in reason_for_missing_images(graph.node, '/cam/image', kind, reliable)

        if not graph.spin(found, 5.0):
            pytest.fail(reason_for_missing_images(graph.node, '/cam/image', kind, reliable))
        return reason_for_missing_images(graph.node, '/cam/image', kind, reliable)

    return find


def test_no_image_topic_at_all(reason):
    assert 'is the camera driver running' in reason('/cam/image: no publisher')


def test_other_image_topics_are_listed(graph, reason):
    graph.node.create_publisher(Image, '/overlay', BEST_EFFORT)  # the node's own
    text = reason('/cam/image_raw', (Image, '/cam/image_raw'), (String, '/chatter'))
    assert '/cam/image_raw [sensor_msgs/msg/Image]' in text
    assert 'image:=TOPIC' in text
    assert 'chatter' not in text
    assert 'overlay' not in text


def test_only_compressed_images_are_published(reason):
    text = reason('image_transport', (CompressedImage, '/cam/image/compressed'))
    assert text.endswith('set the parameter image_transport to compressed')


def test_another_type(reason):
    text = reason('std_msgs/msg/String', (String, '/cam/image'))
    assert 'expected sensor_msgs/msg/Image' in text


def test_an_incompatible_reliability(reason):
    text = reason('BEST_EFFORT', (Image, '/cam/image'), reliable=True)
    assert 'qos_overrides./cam/image.subscription.reliability to best_effort' in text


def test_a_silent_publisher(reason):
    text = reason('no message arrives', (Image, '/cam/image'))
    assert '/driver' in text
