"""Read images of rosbags, without ROS."""

from __future__ import annotations

import sqlite3
import struct
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import cv2
from rosbags.rosbag1 import Reader as Ros1Reader
from rosbags.rosbag1 import ReaderError as Ros1ReaderError
from rosbags.rosbag2 import Reader, ReaderError
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore
from zstandard import ZstdError

from superpoint_rknn.sources.frame import Frame
from superpoint_rknn.sources.messages import image_as_recorded, stamp_ns

IMAGE_TYPES = {'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'}
# What readers raise for damaged files, including impossible sizes, and OpenCV for images.
DAMAGE = (
    *(ReaderError, Ros1ReaderError, sqlite3.Error, struct.error, ZstdError, cv2.error),
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError),
    *(MemoryError, OSError, RuntimeError, TypeError, ValueError),
)


@dataclass(frozen=True)
class RecordedImage:
    """One serialised image message of a recording."""

    name: str  # topic and index of the image, '/cam0/image:5'
    topic: str
    time_ns: int  # time of recording
    kind: str  # sensor_msgs/msg/...
    data: bytes
    ros1: bool

    def message(self) -> Any:
        """Deserialise the message. Raises ValueError if the bytes are damaged."""
        # By ROS's own message definitions: rosbags would compile those in the file to code.
        types = _message_types(Stores.ROS1_NOETIC if self.ros1 else Stores.ROS2_HUMBLE)
        read = types.deserialize_ros1 if self.ros1 else types.deserialize_cdr
        try:
            return read(self.data, self.kind)
        except DAMAGE as error:
            raise ValueError(f'not a valid {self.kind}: {error}') from error


class Images:
    """The image topics of a rosbag2 (a folder, an .mcap or a .db3 file) or of a ROS 1 .bag."""

    def __init__(self, path: Path):
        """Raise ValueError if the recording can't be read."""
        self.path = path
        self.types: dict[str, str] = {}  # message type of each topic, of those without images too
        self.total = 0  # messages on all topics
        self.counts: Counter[str] = Counter()  # images by topic
        with self._reader() as reader:
            for connection in reader.connections:
                self.types[connection.topic] = connection.msgtype
                self.total += connection.msgcount
                if connection.msgtype in IMAGE_TYPES:
                    self.counts[connection.topic] += connection.msgcount

    def recorded(self, topics: Collection[str]) -> Iterator[RecordedImage]:
        """Iterate over messages in order of recording. Raises ValueError if the bag is damaged."""
        number = {topic: count() for topic in topics}
        with self._reader() as reader:
            connections = [c for c in reader.connections if c.topic in topics]
            messages = reader.messages(connections)
            seen = 0
            while True:
                try:
                    connection, time_ns, data = next(messages, (None, 0, b''))
                except DAMAGE as error:
                    raise ValueError(
                        f'{self.path}: damaged after {seen} images: {_reason(error)}'
                    ) from error
                if connection is None:
                    return
                topic, seen = connection.topic, seen + 1
                yield RecordedImage(
                    f'{topic}:{next(number[topic])}',
                    *(topic, time_ns, connection.msgtype, data),
                    ros1=isinstance(reader, Ros1Reader),
                )

    @contextmanager
    def _reader(self) -> Iterator[Reader | Ros1Reader]:
        _check_name(self.path)
        try:
            is_ros1 = self.path.suffix == '.bag' and self.path.is_file()
            reader = (Ros1Reader if is_ros1 else Reader)(self.path)
            reader.open()
            _check_connections(reader)
        except DAMAGE as error:
            raise ValueError(
                f'{self.path}: not a readable rosbag: {_reason(error)}; repair a truncated one '
                'by `mcap recover`, `ros2 bag reindex` or `rosbag reindex`'
            ) from error
        try:
            yield reader
        finally:
            reader.close()


class Bag:
    """
    One image topic of a recording, see Images.

    topic: None: the one with the most messages; ties by name.
    """

    def __init__(self, path: Path, topic: str | None = None):
        """Raise ValueError if the bag can't be read or has no such images."""
        self._images = Images(path)
        counts = self._images.counts
        if topic is not None and topic not in counts:
            found = ', '.join(sorted(counts)) or 'none'
            raise ValueError(f'{path}: no image topic {topic!r}; image topics: {found}')
        if topic is None and not any(counts.values()):
            raise ValueError(
                f'{path}: no sensor_msgs/Image or CompressedImage messages in this bag'
            )
        self.topic = topic or min(counts, key=lambda name: (-counts[name], name))

    def __len__(self) -> int:
        return self._images.counts[self.topic]

    def __iter__(self) -> Iterator[Frame]:
        """Iterate over the images. Raises ValueError if a message can't be read."""
        for recorded in self._images.recorded([self.topic]):
            try:
                message = recorded.message()
                image = image_as_recorded(message)
            except (ValueError, cv2.error) as error:
                raise ValueError(f'{self._images.path}: {recorded.name}: {error}') from error
            yield Frame(image, stamp_ns(message.header), recorded.name)


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _check_name(path: Path) -> None:
    """Raise ValueError if SQLite would parse the name as a URI and open another file."""
    files = path.iterdir() if path.is_dir() else [path]
    for file in files:
        if file.suffix == '.db3' and set(str(file)) & set('?#%'):
            raise ValueError(f'{file}: SQLite allows no ?, # or % in a file name; rename the file')


def _check_connections(reader: Reader | Ros1Reader) -> None:
    """Raise TypeError if metadata.yaml has values of other types for the topics."""
    for c in reader.connections:
        for value, kind in ((c.topic, str), (c.msgtype, str), (c.msgcount, int)):
            if not isinstance(value, kind):
                raise TypeError(f'metadata of a topic: {value!r}, expected {kind.__name__}')


@cache
def _message_types(store: Stores) -> Typestore:
    return get_typestore(store)
