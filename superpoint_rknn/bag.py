"""Images of a rosbag2, read without ROS."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import cv2
import numpy as np
from rosbags.rosbag2 import Reader, ReaderError
from rosbags.typesys import Stores, get_typestore
from zstandard import ZstdError

from superpoint_rknn.features.image import to_grey
from superpoint_rknn.sources import Frame

IMAGE_TYPES = {'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'}
# What the reader raises at damaged files, and OpenCV at damaged images.
DAMAGE = (
    *(ReaderError, sqlite3.Error, struct.error, ZstdError, cv2.error),
    *(AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError),
)


class Bag:
    """
    One image topic of a rosbag2 (a folder, an .mcap or a .db3 file).

    topic: None takes the one with the most messages, the first by name among equals.
    """

    def __init__(self, path: Path, topic: str | None = None):
        """Raise ValueError if the bag can't be read or has no such images."""
        self._path = path
        with self._reader() as reader:
            counts = {c.topic: c.msgcount for c in reader.connections if c.msgtype in IMAGE_TYPES}
        if topic is not None and topic not in counts:
            found = ', '.join(sorted(counts)) or 'none'
            raise ValueError(f'{path}: no image topic {topic!r}; image topics: {found}')
        if topic is None and not any(counts.values()):
            raise ValueError(f'{path}: no sensor_msgs/Image or CompressedImage in this bag')
        self.topic = topic or min(counts, key=lambda name: (-counts[name], name))
        self._length = counts[self.topic]

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Frame]:
        """Raise ValueError at a message that can't be read."""
        # Messages are read by ROS's own definitions: those in the file would become code.
        definitions = get_typestore(Stores.ROS2_HUMBLE)
        with self._reader() as reader:
            connections = [c for c in reader.connections if c.topic == self.topic]
            messages = reader.messages(connections)
            for number in count():
                name = f'{self.topic}:{number}'
                try:
                    connection, _, data = next(messages, (None, None, None))
                    if connection is None:
                        return
                    message = definitions.deserialize_cdr(data, connection.msgtype)
                    image = _decode(message)
                except DAMAGE as error:
                    raise ValueError(f'{self._path}: {name}: {error}') from error
                stamp = message.header.stamp
                yield Frame(image, stamp.sec * 1_000_000_000 + stamp.nanosec, name)

    @contextmanager
    def _reader(self) -> Iterator[Reader]:
        reader = Reader(self._path)
        try:
            reader.open()
        except DAMAGE as error:
            raise ValueError(f'{self._path}: not a readable rosbag2: {error}') from error
        try:
            yield reader
        finally:
            reader.close()


def _decode(message) -> np.ndarray:
    """Image of a sensor_msgs message, uint8; ValueError if it can't be decoded."""
    if hasattr(message, 'format'):
        image = cv2.imdecode(message.data, cv2.IMREAD_ANYCOLOR)
        if image is None:
            raise ValueError(f'{message.data.size} bytes of {message.format!r}: not decodable')
        return image
    layout = (message.height, message.width, message.step, message.encoding)
    grey = to_grey(message.data, *layout, is_bigendian=bool(message.is_bigendian))
    return np.ascontiguousarray(grey)
