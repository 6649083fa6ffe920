"""Convert ROS messages to arrays and back."""

from __future__ import annotations

import threading
import time
from array import array

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from superpoint_rknn.features.image import EncodingError, decompress, to_grey
from superpoint_rknn.features.input_range import InputRange
from superpoint_rknn.features.keypoints import Keypoints as Points
from superpoint_rknn.features.quantization import symmetric_quantization
from superpoint_rknn.msg import Descriptors, DescriptorsRaw, Keypoints

# That camera drivers can be set to; to_grey supports more.
COMMON_ENCODINGS = ('mono8', 'rgb8', 'bgr8', 'mono16', 'bayer_rggb8', 'yuv422_yuy2', 'nv12')


def nanoseconds(stamp: Time) -> int:
    """Return a stamp in nanoseconds."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def grey_image(
    message: Image | CompressedImage, input_range: InputRange | None = None
) -> np.ndarray:
    """
    Return the grey image of a message, (height, width) uint8; a view of its data if possible.

    Raises ValueError with field and value if the message is no valid image.
    """
    if isinstance(message, CompressedImage):
        return decompress(message.data, message.format, input_range)
    try:
        return to_grey(
            message.data,
            message.height,
            message.width,
            message.step,
            message.encoding,
            bool(message.is_bigendian),
            input_range=input_range,
        )
    except EncodingError as error:
        return _grey_by_cv_bridge(message, error)


class ReceivedImage:
    """An image message with its time of arrival and its grey image; thread-safe."""

    def __init__(self, message: Image | CompressedImage, input_range: InputRange | None = None):
        self.message = message
        self.arrived = time.perf_counter()  # [s]
        self.stamp = nanoseconds(message.header.stamp)  # [ns]
        self._input_range = input_range  # of the camera
        self._lock = threading.Lock()
        self._grey: np.ndarray | None = None

    def grey(self) -> np.ndarray:
        """
        Return the grey image, (height, width) uint8; converted by the first call, then cached.

        Raises ValueError with field and value if the message is no valid image.
        """
        with self._lock:
            if self._grey is None:
                self._grey = grey_image(self.message, self._input_range)
            return self._grey


def _grey_by_cv_bridge(message: Image, refusal: EncodingError) -> np.ndarray:
    """Convert other encodings by cv_bridge. Raises ValueError if it fails or is missing."""
    try:
        import cv_bridge

        return cv_bridge.CvBridge().imgmsg_to_cv2(message, 'mono8')
    except ImportError:  # raised by the first call where its compiled module is missing
        raise ValueError(
            f'{refusal}; set the camera driver to one of {", ".join(COMMON_ENCODINGS)}'
        ) from None
    except (cv2.error, RuntimeError, TypeError) as error:  # CvBridgeError is a TypeError
        raise ValueError(f'encoding: cv_bridge: {error}') from error


def float_array(values: np.ndarray) -> array:
    """Return `values` as a float32[] field of a message; fast: copies bytes, not elements."""
    field = array('f')
    field.frombytes(bytes_of(np.ascontiguousarray(values, np.float32)))
    return field


def bytes_of(values: np.ndarray) -> memoryview:
    """Return a view of the bytes of a C-contiguous array."""
    return memoryview(values.data).cast('B')


def keypoints_message(header: Header, image_size: tuple[int, int], points: Points) -> Keypoints:
    """Return the Keypoints message of an image; image_size: (height, width) [px]."""
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
    """Return the Descriptors message of N keypoints; data: (N, dim) float32."""
    return Descriptors(
        header=keypoints.header,
        keypoints=keypoints,
        dim=data.shape[1],
        data=float_array(data.reshape(-1)),
        model=model,
    )


def raw_descriptors_message(keypoints: Keypoints, data: np.ndarray, model: str) -> DescriptorsRaw:
    """Return the DescriptorsRaw message of N keypoints; data: (N, dim) float32."""
    quantization = symmetric_quantization(data)
    quantized = array('B')
    quantized.frombytes(bytes_of(quantization.quantize(data).reshape(-1)))
    return DescriptorsRaw(
        header=keypoints.header,
        keypoints=keypoints,
        dim=data.shape[1],
        scale=quantization.scale,
        zero_point=quantization.zero_point,
        data=quantized,
        model=model,
    )


def image_message(header: Header, image: np.ndarray) -> Image:
    """Return the Image message of a BGR image, (height, width, 3) uint8."""
    height, width, channels = image.shape
    data = array('B')
    data.frombytes(bytes_of(np.ascontiguousarray(image)))
    return Image(
        header=header,
        height=height,
        width=width,
        encoding='bgr8',
        step=width * channels,
        data=data,
    )
