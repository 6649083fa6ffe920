"""Why no images arrive, and what to do: reasons that the ROS graph shows."""

import pytest
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

from superpoint_rknn.nodes.common.image_topics import ImageTopic
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

    def find(expected, *publishers, kind=Image, transport='raw', profile=BEST_EFFORT):
        for message_type, topic in publishers:
            camera.create_publisher(message_type, topic, BEST_EFFORT)
        topic = ImageTopic('/cam/image', kind)

        def text():
            return reason_for_missing_images(graph.node, '/cam/image', transport, topic, profile)

        if not graph.spin(lambda: expected in text(), 5.0):
            pytest.fail(text())
        return text()

    return find


def test_no_image_topic_at_all(graph, reason):
    text = reason('/cam/image: no publisher')
    assert f'is the camera driver running in this ROS domain ({graph.group.domain})' in (
        text.replace('ROS_DOMAIN_ID ', '')
    )


def test_other_image_topics_are_listed_most_similar_name_first(graph, reason):
    graph.node.create_publisher(Image, '/tracks_overlay', BEST_EFFORT)  # of this package
    graph.node.create_publisher(CompressedImage, '/depth/compressedDepth', BEST_EFFORT)
    graph.node.create_publisher(Image, '/arm', BEST_EFFORT)
    text = reason('/cam/image_raw', (Image, '/cam/image_raw'), (String, '/chatter'))
    assert text == (
        '/cam/image: no publisher; image topics with a publisher: /cam/image_raw '
        '[sensor_msgs/msg/Image], /arm [sensor_msgs/msg/Image]; remap to one: /cam/image:=TOPIC, '
        'and set the parameter image_transport to auto'
    )


def test_many_image_topics_are_counted(reason):
    text = reason('more', *((Image, f'/cam{n}') for n in range(10)), transport='auto')
    assert '[sensor_msgs/msg/Image] and 2 more; remap to one: /cam/image:=TOPIC' in text
    assert 'image_transport' not in text


@pytest.mark.parametrize(
    ('published', 'kind', 'transport'),
    [
        ((CompressedImage, '/cam/image/compressed'), Image, 'raw'),
        ((CompressedImage, '/cam/image'), Image, 'raw'),
        ((Image, '/cam/image'), CompressedImage, 'compressed'),
    ],
)
def test_images_of_this_camera_in_another_transport(reason, published, kind, transport):
    expected = 'set the parameter image_transport to auto'
    text = reason(expected, published, kind=kind, transport=transport)
    assert published[1] in text.partition(expected)[2]


def test_another_type(reason):
    text = reason('std_msgs/msg/String', (String, '/cam/image'), transport='auto')
    assert text.startswith(
        '/cam/image: published as std_msgs/msg/String, expected sensor_msgs/msg/Image or '
        'sensor_msgs/msg/CompressedImage; no image topic has a publisher'
    )


def test_an_incompatible_reliability(reason):
    reliable = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
    text = reason('QoS', (Image, '/cam/image'), profile=reliable)
    assert 'Best effort publisher and reliable subscription' in text
    assert text.endswith('remove the parameter qos_overrides./cam/image.subscription.reliability')


def test_a_silent_publisher(reason):
    text = reason('no message arrives', (Image, '/cam/image'))
    assert '/driver' in text
