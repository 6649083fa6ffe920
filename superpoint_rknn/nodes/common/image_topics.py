"""The topics on which the images of a camera may be published, raw or compressed."""

from __future__ import annotations

from dataclasses import dataclass

from rclpy.node import Node
from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import CompressedImage, Image

TYPES = {Image: 'sensor_msgs/msg/Image', CompressedImage: 'sensor_msgs/msg/CompressedImage'}
COMPRESSED = '/compressed'  # suffix of image_transport's topics of JPEG and PNG images


@dataclass(frozen=True)
class ImageTopic:
    """Full name of a topic, and the message type that is expected on it."""

    name: str
    kind: type[Image] | type[CompressedImage]

    @property
    def transport(self) -> str:
        """Name of the transport, raw or compressed."""
        return 'raw' if self.kind is Image else 'compressed'

    @property
    def type_name(self) -> str:
        """Name of the message type."""
        return TYPES[self.kind]

    def publishers(self, node: Node) -> list[TopicEndpointInfo]:
        """Return the publishers of this type."""
        publishers = node.get_publishers_info_by_topic(self.name)
        return [publisher for publisher in publishers if publisher.topic_type == self.type_name]

    def publisher_names(self, node: Node) -> str:
        """Return the full names of the nodes that publish it."""
        names = {
            f'{each.node_namespace.rstrip("/")}/{each.node_name}' for each in self.publishers(node)
        }
        return ', '.join(sorted(names))


def candidates(name: str, transport: str) -> tuple[ImageTopic, ...]:
    """
    Return the topics that `image` may stand for, the preferred one first.

    name: full name of `image`. transport: raw, compressed or auto. Compressed images are expected
    on `image/compressed`; auto: also on `image`.
    """
    raw, compressed = ImageTopic(name, Image), ImageTopic(name, CompressedImage)
    suffixed = ImageTopic(name.removesuffix(COMPRESSED) + COMPRESSED, CompressedImage)
    if transport == 'auto':
        return (raw, compressed) if suffixed == compressed else (raw, compressed, suffixed)
    return (raw,) if transport == 'raw' else (suffixed,)


def offered(node: Node, topics: tuple[ImageTopic, ...]) -> ImageTopic | None:
    """Return the first topic that has a publisher of its type; None if there is none."""
    return next((topic for topic in topics if topic.publishers(node)), None)


def expected(topics: tuple[ImageTopic, ...]) -> ImageTopic:
    """Return the topic of candidates that is subscribed to while none has a publisher."""
    compressed = [topic for topic in topics if topic.name.endswith(COMPRESSED)]
    is_named = len(compressed) == len(topics)  # `image` itself ends in /compressed
    return topics[-1] if is_named else topics[0]
