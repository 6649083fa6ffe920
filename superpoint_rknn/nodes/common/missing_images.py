"""Find out from the ROS graph why a camera's images do not arrive."""

from __future__ import annotations

from difflib import SequenceMatcher

from rclpy.node import Node
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible

from superpoint_rknn.nodes.common.image_topics import TYPES, ImageTopic, candidates, offered

MAX_LISTED = 8  # image topics that a message names
# Suffixes of topics that are no camera's: overlays of this package, and a format of depth images.
EXCLUDED = ('overlay', '/compressedDepth')


def reason_for_missing_images(
    node: Node,
    name: str,
    transport: str,
    topic: ImageTopic,
    profile: QoSProfile,
) -> str:
    """
    Return why no images arrive on a topic, and what to do.

    name: of the topic before remapping, such as `image`. transport: auto, raw or compressed.
    topic, profile: topic and QoS of the subscription.
    """
    publishers = topic.publishers(node)
    if not publishers:
        other_type = _other_type(node, candidates(node.resolve_topic_name(name), transport))
        return f'{other_type or f"{topic.name}: no publisher"}; {_remedy(node, name, transport)}'
    checks = [qos_check_compatible(each.qos_profile, profile) for each in publishers]
    refusals = [text for result, text in checks if result == QoSCompatibility.ERROR]
    if len(refusals) == len(publishers):
        return (
            f'{topic.name}: the QoS of its publisher does not match '
            f'({refusals[0].removeprefix("ERROR: ").rstrip("; ")}): remove the parameter '
            f'qos_overrides.{topic.name}.subscription.reliability'
        )
    return (
        f'{topic.name}: published by {topic.publisher_names(node)}, but no message arrives; `ros2 '
        f'topic hz {topic.name}` shows whether it sends'
    )


def _other_type(node: Node, topics: tuple[ImageTopic, ...]) -> str | None:
    """Say what is published, of another type, where images are expected; None: nothing."""
    for name in dict.fromkeys(each.name for each in topics):
        others = {each.topic_type for each in node.get_publishers_info_by_topic(name)}
        if others:
            wanted = ' or '.join(each.type_name for each in topics if each.name == name)
            return f'{name}: published as {", ".join(sorted(others))}, expected {wanted}'
    return None


def _remedy(node: Node, name: str, transport: str) -> str:
    """Name the topics that carry images, and say how to subscribe to one of them."""
    found = _image_topics(node)
    if not found:
        domain = node.context.get_domain_id()
        return (
            'no image topic has a publisher: is the camera driver running in this ROS domain '
            f'(ROS_DOMAIN_ID {domain})?'
        )
    wanted = node.resolve_topic_name(name)
    of_camera = offered(node, candidates(wanted, 'auto'))
    if of_camera is not None:
        return (
            'set the parameter image_transport to auto, which subscribes to '
            f'{of_camera.name} [{of_camera.type_name}]'
        )
    names = sorted(found, key=lambda each: -SequenceMatcher(None, each, wanted).ratio())
    listed = ', '.join(f'{each} [{found[each]}]' for each in names[:MAX_LISTED])
    more = f' and {len(names) - MAX_LISTED} more' if len(names) > MAX_LISTED else ''
    auto = '' if transport == 'auto' else ', and set the parameter image_transport to auto'
    return f'image topics with a publisher: {listed}{more}; remap to one: {name}:=TOPIC{auto}'


def _image_topics(node: Node) -> dict[str, str]:
    """Types of the image topics that have a publisher, by name."""
    found = {}
    for name, _ in node.get_topic_names_and_types():
        types = {each.topic_type for each in node.get_publishers_info_by_topic(name)}
        if types & set(TYPES.values()) and not name.endswith(EXCLUDED):
            found[name] = ', '.join(sorted(types & set(TYPES.values())))
    return found
