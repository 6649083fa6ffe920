"""ROS messages to arrays and back."""

from __future__ import annotations

from array import array

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from superpoint_rknn.features.image import EncodingError, decompress, to_grey
from superpoint_rknn.features.keypoints import Keypoints as Points
from superpoint_rknn.msg import Descriptors, Keypoints


def nanoseconds(stamp: Time) -> int:
    """Time since the epoch [ns]."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def grey_image(message: Image | CompressedImage) -> np.ndarray:
    """
    Grey image of a message, (height, width) uint8; a view into the message where possible.

    Raises ValueError naming the field and the value if the message is no valid image.
    """
    if isinstance(message, CompressedImage):
        return decompress(message.data, message.format)
    try:
        return to_grey(
            message.data,
            message.height,
            message.width,
            message.step,
            message.encoding,
            bool(message.is_bigendian),
        )
    except EncodingError as error:
        return _grey_by_cv_bridge(message, error)


def _grey_by_cv_bridge(message: Image, refusal: EncodingError) -> np.ndarray:
    """Convert the rarer encodings; without a working cv_bridge the refusal stands."""
    try:
        import cv_bridge

        return cv_bridge.CvBridge().imgmsg_to_cv2(message, 'mono8')
    except ImportError:  # also raised by the first call, where its compiled half is missing
        raise ValueError(
            f'{refusal}, and cv_bridge, which may know it, is not installed'
        ) from None
    except (cv2.error, RuntimeError, TypeError) as error:  # CvBridgeError is a TypeError
        raise ValueError(f'encoding: cv_bridge: {error}') from error


def float_array(values: np.ndarray) -> array:
    """`values` as a message's float32[] field: the one way that costs no conversion per item."""
    field = array('f')
    field.frombytes(memoryview(np.ascontiguousarray(values, np.float32)).cast('B'))
    return field


def keypoints_message(header: Header, image_size: tuple[int, int], points: Points) -> Keypoints:
    """Keypoints of an image of `image_size` (height, width), in its pixels."""
    height, width = image_size
    return Keypoints(
        header=header,
        height=height,
        width=width,
        x=float_array(points.x),
        y=float_array(points.y),
        score=float_array(points.score),
    )


def descriptors_message(keypoints: Keypoints, data: np.ndarray, model: str) -> Descriptors:
    """Descriptors, (N, dim) float32, of the points of a Keypoints message."""
    return Descriptors(
        header=keypoints.header,
        keypoints=keypoints,
        dim=data.shape[1],
        data=float_array(data.reshape(-1)),
        model=model,
    )


def image_message(header: Header, image: np.ndarray) -> Image:
    """Message of a bgr8 image, (height, width, 3) uint8."""
    height, width, channels = image.shape
    data = array('B')
    data.frombytes(memoryview(np.ascontiguousarray(image)).cast('B'))
    return Image(
        header=header,
        height=height,
        width=width,
        encoding='bgr8',
        step=width * channels,
        data=data,
    )
