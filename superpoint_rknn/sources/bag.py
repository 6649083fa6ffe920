"""Read images of recordings, without ROS: rosbags, and image sequences in EuRoC's format."""

from __future__ import annotations

import logging
import struct
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import cv2
from rosbags.serde import SerdeError

from superpoint_rknn.features.input_range import InputRange
from superpoint_rknn.sources.compression import ZSTD_MAGIC, decompress
from superpoint_rknn.sources.euroc import EurocCamera
from superpoint_rknn.sources.frame import Frame
from superpoint_rknn.sources.messages import image_as_recorded, message_types, stamp_ns
from superpoint_rknn.sources.recording import (
    Temporary,
    euroc_cameras,
    find_files,
    is_recording,
    open_storage,
)
from superpoint_rknn.sources.storage import Storage, in_order

log = logging.getLogger(__name__)

IMAGE_TYPES = {'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'}
# What rosbags raises for damaged messages.
DAMAGE = (
    *(struct.error, ArithmeticError, AssertionError, AttributeError, EOFError, LookupError),
    *(MemoryError, RuntimeError, SerdeError, TypeError, ValueError),
)


@dataclass(frozen=True)
class RecordedImage:
    """One serialised image message of a recording."""

    name: str  # topic and index of the image, '/cam0/image:5'
    topic: str
    time_ns: int  # time of recording
    kind: str  # sensor_msgs/msg/...
    ros1: bool
    content: bytes | ValueError

    @property
    def data(self) -> bytes:
        """The serialised message. Raises ValueError if it can't be read."""
        if isinstance(self.content, ValueError):
            raise self.content
        # Single messages may be compressed, which the header of a serialised one never looks like.
        return decompress('zstd' if self.content[:4] == ZSTD_MAGIC else '', self.content)

    def message(self) -> Any:
        """Deserialise the message. Raises ValueError if the bytes are damaged."""
        types, data = message_types(self.ros1), self.data
        read = types.deserialize_ros1 if self.ros1 else types.deserialize_cdr
        try:
            return read(data, self.kind)
        except DAMAGE as error:
            raise ValueError(f'not a valid {self.kind}: {error}') from error


class Images:
    """The image topics of a rosbag2 (a folder or a file), a ROS 1 .bag or a EuRoC sequence."""

    def __init__(self, path: Path):
        """Raise ValueError if nothing of the recording can be read."""
        self.path = path
        self.types: dict[str, str] = {}  # message type of each topic, of those without images too
        self.total = 0  # messages on all topics
        self.counts: Counter[str] = Counter()  # images by topic
        self._missing: list[str] = []
        self._temporary = Temporary()
        self._storages = self._open()
        messages: Counter[str] = Counter()
        for storage in self._storages:
            for connection, number in storage.counts.items():
                self.types[connection.topic] = connection.kind
                messages[connection.topic] += number
                if connection.kind in IMAGE_TYPES:
                    self.counts[connection.topic] += number
        self.total = messages.total()
        self._missing += [
            f'{topic}: {promised - messages[topic]} of {promised} messages are missing'
            for topic, promised in self._promised.items()
            if promised > messages[topic]
        ]

    @property
    def is_ros1(self) -> bool:
        """True if messages are serialised as by ROS 1."""
        return any(c.is_ros1 for storage in self._storages for c in storage.counts)

    @property
    def missing(self) -> list[str]:
        """What of the recording is known to be missing, as far as it was read."""
        return self._missing + [text for storage in self._storages for text in storage.missing]

    @property
    def missing_text(self) -> str:
        """A sentence of what is missing; '' if the recording is complete."""
        return f'{self.path}: incomplete: {"; ".join(self.missing)}' if self.missing else ''

    def recorded(self, topics: Collection[str]) -> Iterator[RecordedImage]:
        """Iterate over messages in order of recording; what is damaged is noted as missing."""
        number = {topic: count() for topic in topics}
        for message in in_order(self._storages, topics):
            connection = message.connection
            yield RecordedImage(
                f'{connection.topic}:{next(number[connection.topic])}',
                *(connection.topic, message.time_ns, connection.kind, connection.is_ros1),
                content=message.content,
            )

    def _open(self) -> list[Storage]:
        self._promised: dict[str, int] = {}
        cameras = [] if is_recording(self.path) else euroc_cameras(self.path)
        try:
            if cameras:
                return [EurocCamera(camera) for camera in cameras]
            files = find_files(self.path)
        except OSError as error:
            raise ValueError(f'{self.path}: {error.strerror}') from error
        except ValueError as error:
            raise ValueError(f'{self.path}: not a readable recording: {error}') from error
        self._missing, self._promised = files.missing, files.promised
        storages: list[Storage] = []
        unreadable = []
        for path in files.paths:
            try:
                storages.append(open_storage(path, self._temporary.folder()))
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) else str(error)
                unreadable.append(f'{path.name}: {reason}')
        if not storages:
            raise ValueError(f'{self.path}: not a readable recording: {"; ".join(unreadable)}')
        self._missing += unreadable
        return storages


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
        self._warned = ''

    def __len__(self) -> int:
        return self._images.counts[self.topic]

    def __iter__(self) -> Iterator[Frame]:
        """
        Iterate over the images; log a warning if some are missing.

        Raises ValueError if a message can't be read.
        """
        self._warn()
        input_range = InputRange(warn=log.warning)
        for recorded in self._images.recorded([self.topic]):
            try:
                message = recorded.message()
                image = image_as_recorded(message, input_range)
            except (ValueError, cv2.error) as error:
                raise ValueError(f'{self._images.path}: {recorded.name}: {error}') from error
            yield Frame(image, stamp_ns(message.header), recorded.name)
        self._warn()

    def _warn(self) -> None:
        text = self._images.missing_text
        if text and text != self._warned:
            log.warning('%s', text)
        self._warned = text
