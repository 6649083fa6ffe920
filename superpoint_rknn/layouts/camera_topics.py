"""Names of the topics and diagnostics of a camera that viewers show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from superpoint_rknn.nodes.common.camera_names import check_cameras, title_of

IMAGES = {'tracks_overlay': 'Tracks', 'overlay': 'Keypoints'}  # title by topic


class CameraTopics(NamedTuple):
    """
    Absolute names of one camera.

    title: unique among the cameras of a graph. image: topic of the images.
    prefix: of the topics that the nodes publish for this camera, '' or '/cam0'.
    status: name of a node's status in /diagnostics, with {} for the node.
    """

    title: str
    image: str
    prefix: str
    status: str


def camera_topics(
    namespaces: Sequence[str], cameras: Sequence[str], image: str
) -> list[CameraTopics]:
    """
    Return the names of each camera in each namespace.

    namespaces: of the nodes, such as '/robot'; '/' or '' is none. cameras: parameter `cameras` of
    the nodes; [''] is the camera without a name. image: topic of the images, relative to the
    camera unless it begins with /.
    Raises ValueError for invalid names and for one absolute topic for several cameras.
    """
    check_cameras(list(cameras), stereo=False)
    parts = [namespace.strip('/') for namespace in namespaces]
    for part in parts:
        if part:
            check_cameras([part], stereo=False)
        if parts.count(part) > 1:
            raise ValueError(f'the namespace /{part} is listed twice')
    if image.startswith('/') and len(parts) * len(cameras) > 1:
        raise ValueError(f'image {image}: expected a relative name with several cameras')
    result = []
    for part in parts:
        namespace = f'/{part}' if part else ''
        for camera in cameras:
            prefix = f'{namespace}/{camera}'.rstrip('/')
            topic = image if image.startswith('/') else f'{prefix}/{image}'
            title = prefix.strip('/') or title_of('')
            status = f'{namespace}/{{}}: {title_of(camera)}'
            result.append(CameraTopics(title, topic, prefix, status))
    return result


def image_topics(camera: CameraTopics) -> dict[str, str]:
    """Return the topics of type sensor_msgs/Image of a camera by title."""
    drawn = {title: f'{camera.prefix}/{name}' for name, title in IMAGES.items()}
    return {**drawn, 'Image': camera.image}
