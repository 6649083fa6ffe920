"""Decode recorded sensor_msgs to images."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from superpoint_rknn.features.image import (
    compressed_data_error,
    decode_in_colour,
    decompress,
    to_grey,
)
from superpoint_rknn.features.image_header import MESSAGE_FORMATS
from superpoint_rknn.features.input_range import InputRange


@cache
def message_types(is_ros1: bool = False) -> Typestore:
    """ROS's own message definitions: rosbags would compile those in a recording to code."""
    return get_typestore(Stores.ROS1_NOETIC if is_ros1 else Stores.ROS2_HUMBLE)


def stamp_ns(header: Any) -> int:
    """Return the timestamp of a message header [ns]."""
    return header.stamp.sec * 1_000_000_000 + header.stamp.nanosec


def grey_image(message: Any, input_range: InputRange | None = None) -> np.ndarray:
    """Grey image of an Image or CompressedImage, (height, width) uint8. Raises ValueError."""
    if hasattr(message, 'format'):
        return decompress(message.data, message.format, input_range)
    return to_grey(
        message.data,
        message.height,
        message.width,
        message.step,
        message.encoding,
        is_bigendian=bool(message.is_bigendian),
        input_range=input_range,
    )


def image_as_recorded(message: Any, input_range: InputRange | None = None) -> np.ndarray:
    """Image of an Image or CompressedImage, uint8; BGR if it was compressed in colour."""
    if not hasattr(message, 'format'):
        return np.ascontiguousarray(grey_image(message, input_range))
    try:
        return decode_in_colour(message.data, input_range, MESSAGE_FORMATS)
    except ValueError as error:
        raise ValueError(compressed_data_error(message.data, message.format, error)) from error
