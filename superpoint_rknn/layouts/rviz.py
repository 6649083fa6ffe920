"""Write the configuration of RViz: an image display for each image topic of each camera."""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from superpoint_rknn.layouts.camera_topics import CameraTopics, image_topics


def rviz_config(cameras: Sequence[CameraTopics]) -> str:
    """Return the text of a .rviz file."""
    displays = [
        _display(
            f'{name} of {camera.title}' if len(cameras) > 1 else name,
            topic,
            'Best Effort' if topic == camera.image else 'Reliable',  # as each is published
        )
        for camera in cameras
        for name, topic in image_topics(camera).items()
    ]
    content = {
        'Panels': [{'Class': 'rviz_common/Displays', 'Name': 'Displays'}],
        'Visualization Manager': {
            'Class': '',
            'Displays': displays,
            'Enabled': True,
            'Global Options': {'Fixed Frame': 'map', 'Frame Rate': 30},
            'Name': 'root',
            'Tools': [{'Class': 'rviz_default_plugins/Interact'}],
            'Value': True,
            'Views': {'Current': {'Class': 'rviz_default_plugins/Orbit', 'Name': 'Current View'}},
        },
        'Window Geometry': {
            'Displays': {'collapsed': False},
            **{display['Name']: {'collapsed': False} for display in displays},
            'Height': 900,
            'Width': 1400,
        },
    }
    return yaml.safe_dump(content, sort_keys=False)


def _display(name: str, topic: str, reliability: str) -> dict:
    """Return the image display of a topic; reliability: of its subscription."""
    return {
        'Class': 'rviz_default_plugins/Image',
        'Enabled': True,
        'Max Value': 1,
        'Median window': 5,
        'Min Value': 0,
        'Name': name,
        'Normalize Range': True,
        'Topic': {
            'Depth': 1,
            'Durability Policy': 'Volatile',
            'History Policy': 'Keep Last',
            'Reliability Policy': reliability,
            'Value': topic,
        },
        'Value': True,
    }
