"""Decode recorded sensor_msgs to images."""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from superpoint_rknn.features.image import COLOUR_AS_STORED, decompress, to_grey


@cache
def message_types(is_ros1: bool = False) -> Typestore:
    """ROS's own message definitions: rosbags would compile those in a recording to code."""
    return get_typestore(Stores.ROS1_NOETIC if is_ros1 else Stores.ROS2_HUMBLE)


def stamp_ns(header: Any) -> int:
    """Return the timestamp of a message header [ns]."""
    return header.stamp.sec * 1_000_000_000 + header.stamp.nanosec


def grey_image(message: Any) -> np.ndarray:
    """Decode an Image or CompressedImage to grey, (height, width) uint8. Raises ValueError."""
    if hasattr(message, 'format'):
        return decompress(message.data, message.format)
    layout = (message.height, message.width, message.step, message.encoding)
    return to_grey(message.data, *layout, is_bigendian=bool(message.is_bigendian))


def image_as_recorded(message: Any) -> np.ndarray:
    """Image of an Image or CompressedImage, uint8; BGR if it was compressed in colour."""
    if not hasattr(message, 'format'):
        return np.ascontiguousarray(grey_image(message))
    image = cv2.imdecode(message.data, COLOUR_AS_STORED)
    if image is None:
        raise ValueError(
            f'data: {message.data.size} bytes of format {message.format!r}, expected an image '
            'that OpenCV decodes'
        )
    return image
