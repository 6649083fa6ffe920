"""Convert the messages of the tracker to arrays and back."""

from __future__ import annotations

from array import array

import numpy as np
from std_msgs.msg import Header

from superpoint_rknn.features.keypoints import Keypoints as Points
from superpoint_rknn.features.quantization import Quantization
from superpoint_rknn.msg import Descriptors, DescriptorsRaw, Keypoints
from superpoint_rknn.nodes.common.messages import bytes_of, keypoints_message
from superpoint_rknn.tracking.tracker import Tracks


def points_of(message: Keypoints, image_size: tuple[int, int] | None = None) -> Points:
    """
    Return the keypoints of a message. Raises ValueError that names an inconsistent field.

    image_size: expected (height, width) of the image [px]; None: any.
    """
    if image_size not in (None, (message.height, message.width)):
        raise ValueError(
            f'height, width: {message.height}, {message.width}, the image has {image_size}'
        )
    x, y, score = (
        np.array(values, np.float32) for values in (message.x, message.y, message.score)
    )
    if not len(x) == len(y) == len(score):
        raise ValueError(
            f'x, y, score: {len(x)}, {len(y)}, {len(score)} values, expected equal numbers'
        )
    inside = (x >= -0.5) & (x <= message.width) & (y >= -0.5) & (y <= message.height)
    if not inside.all():
        first = np.flatnonzero(~inside)[0]
        raise ValueError(
            f'x, y: point {first} at ({x[first]}, {y[first]}), outside the image of '
            f'{message.height}x{message.width}'
        )
    if not np.isfinite(score).all():
        first = np.flatnonzero(~np.isfinite(score))[0]
        raise ValueError(f'score: {score[first]} of point {first}, expected numbers')
    return Points(x, y, score)


def tracks_of(message: Keypoints) -> Tracks:
    """Return the tracks of a `tracks` message. Raises ValueError that names an invalid field."""
    points, key = points_of(message), np.array(message.id, np.int64)
    age = np.array(message.age, np.int64)
    if not len(key) == len(age) == len(points.x):
        raise ValueError(f'id, age: {len(key)}, {len(age)} values, expected {len(points.x)}')
    if len(np.unique(key)) < len(key):
        raise ValueError('id: a value appears twice')
    return Tracks(key, age, points.x, points.y, points.score, key)


def descriptor_rows(message: Descriptors | DescriptorsRaw) -> np.ndarray:
    """
    Return descriptors, (N, dim) float32; those of 8 bits are converted and have unit L2 norm.

    Raises ValueError that names an invalid field, or unless there is a descriptor per keypoint.
    """
    is_raw = isinstance(message, DescriptorsRaw)
    data = np.array(message.data, np.uint8 if is_raw else np.float32)
    count = len(message.keypoints.x)
    if message.dim < 1 or len(data) != count * message.dim:
        raise ValueError(f'data: {len(data)} values, expected {count} keypoints x {message.dim}')
    if not np.isfinite(data).all():
        raise ValueError('data: not all values are finite')
    rows = data.reshape(count, message.dim)
    if not is_raw:
        return rows
    rows = Quantization(message.scale, message.zero_point, rows.dtype).dequantize(rows)
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(norm, np.finfo(np.float32).tiny)


def tracks_message(header: Header, image_size: tuple[int, int], tracks: Tracks) -> Keypoints:
    """Return the `tracks` message of an image, oldest first; image_size: (height, width) [px]."""
    message = keypoints_message(header, image_size, Points(tracks.x, tracks.y, tracks.score))
    message.id = _uint32_array(tracks.id)
    message.age = _uint32_array(tracks.age)
    return message


def _uint32_array(values: np.ndarray) -> array:
    """Return `values` as a uint32[] field of a message; fast: copies bytes, not elements."""
    field = array('I')
    field.frombytes(bytes_of(np.ascontiguousarray(values, np.uint32)))
    return field
