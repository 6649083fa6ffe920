"""Rosbag2 of the demo: every image and result as received, with its arrival time."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rosbags.interfaces import Connection
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from superpoint_rknn.evaluate.metrics import mutual_neighbours

MESSAGES = Path(__file__).parent.parent / 'msg'
TYPES = {
    'image': 'sensor_msgs/msg/Image',
    'keypoints': 'superpoint_rknn/msg/Keypoints',
    'descriptors': 'superpoint_rknn/msg/Descriptors',
    'tracks': 'superpoint_rknn/msg/Keypoints',
}  # by topic name
MATCH_PERIOD = 10**9  # [ns] between two images whose descriptors are matched, at least


class Header(NamedTuple):
    """Header of a message; keypoints and descriptors have that of their image."""

    sec: int
    nanosec: int
    frame_id: str

    @property
    def stamp_ns(self) -> int:
        """Stamp since the epoch [ns]."""
        return self.sec * 10**9 + self.nanosec


@dataclass(frozen=True)
class Points:
    """Keypoints or tracks of a message."""

    header: Header
    image_size: tuple[int, int]  # height, width [px]
    x: np.ndarray  # (N,) float32 [px]
    y: np.ndarray
    score: np.ndarray  # 0..1

    @property
    def xy(self) -> np.ndarray:
        """Positions, (N, 2) float32 [px]."""
        return np.stack([self.x, self.y], axis=1)

    def equals(self, other: Points) -> bool:
        """True if all values are equal, bit by bit."""
        return (self.header, self.image_size) == (other.header, other.image_size) and all(
            np.array_equal(getattr(self, name), getattr(other, name))
            for name in ('x', 'y', 'score')
        )


@dataclass(frozen=True)
class Received:
    """Points of one message and its arrival time since the epoch [ns]."""

    points: Points
    time_ns: int


@dataclass(frozen=True)
class Matches:
    """Mutual nearest neighbours among the descriptors of two images."""

    older: Header
    newer: Header
    first: np.ndarray  # (N, 2) float32, matched points of the older image [px]
    second: np.ndarray  # (N, 2) float32, of the newer one

    @property
    def seconds(self) -> float:
        """Time between the images [s]."""
        return (self.newer.stamp_ns - self.older.stamp_ns) / 1e9


class Matcher:
    """
    Match the descriptors of each image with those of an image MATCH_PERIOD before.

    Of the images that are so much older, or more, the newest one is taken.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, Points, np.ndarray]] = deque()  # of the last MATCH_PERIOD
        self._older: tuple[str, Points, np.ndarray] | None = None

    def add(self, model: str, points: Points, rows: np.ndarray) -> Matches | None:
        """
        Match the next image; None if there is no older one with descriptors of this model.

        rows: descriptors, (N, dim) float32.
        """
        limit = points.header.stamp_ns - MATCH_PERIOD
        while self._waiting and self._waiting[0][1].header.stamp_ns <= limit:
            self._older = self._waiting.popleft()
        self._waiting.append((model, points, rows))
        if self._older is None or self._older[0] != model:
            return None
        _, older, older_rows = self._older
        i, j = mutual_neighbours(older_rows, rows)
        return Matches(older.header, points.header, older.xy[i], points.xy[j])


@dataclass
class Recording:
    """Content of a bag without the data of images and descriptors, but with their matches."""

    images: list[Header] = field(default_factory=list)
    keypoints: list[Received] = field(default_factory=list)
    descriptors: list[Received] = field(default_factory=list)
    tracks: list[Received] = field(default_factory=list)
    matches: list[Matches] = field(default_factory=list)  # between some of the descriptors


def remove_old(path: Path) -> None:
    """Remove the bag of an earlier run; OSError if `path` is anything else."""
    if not path.exists():
        return
    if any(p.suffix != '.mcap' and p.name != 'metadata.yaml' for p in path.iterdir()):
        raise FileExistsError(f'{path} is not a bag of an earlier run: move it away')
    shutil.rmtree(path)


def message_types() -> Typestore:
    """Message types of ROS 2 and, from its msg files, of this package."""
    types = get_typestore(Stores.ROS2_HUMBLE)
    for path in sorted(MESSAGES.glob('*.msg')):
        types.register(get_types_from_msg(path.read_text(), f'superpoint_rknn/msg/{path.stem}'))
    return types


class BagWriter(Writer):
    """Write a new bag (MCAP, Zstandard) with one connection for each of TYPES."""

    def __init__(self, path: Path):
        super().__init__(path, version=9, storage_plugin=StoragePlugin.MCAP)
        self.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self.of_topic: dict[str, Connection] = {}

    def open(self) -> None:
        super().open()
        types = message_types()
        for topic, kind in TYPES.items():
            self.of_topic[topic] = self.add_connection(f'/{topic}', kind, typestore=types)


def messages(path: Path, *topics: str) -> Iterator[tuple[str, int, Any]]:
    """Topic name, arrival time [ns] and message of the topics, in order of arrival."""
    types = message_types()
    with Reader(path) as reader:
        wanted = [c for c in reader.connections if c.topic.strip('/') in topics]
        for connection, time_ns, data in reader.messages(wanted):
            message = types.deserialize_cdr(data, connection.msgtype)
            yield connection.topic.strip('/'), time_ns, message


def header_of(message: Any) -> Header:
    """Header of a message."""
    stamp = message.header.stamp
    return Header(stamp.sec, stamp.nanosec, message.header.frame_id)


def points_of(keypoints: Any) -> Points:
    """Points of a Keypoints message; ValueError if its arrays have different lengths."""
    points = Points(
        header_of(keypoints),
        (keypoints.height, keypoints.width),
        keypoints.x,
        keypoints.y,
        keypoints.score,
    )
    if not len(points.x) == len(points.y) == len(points.score):
        raise ValueError(f'keypoints of {points.header}: x, y and score differ in length')
    return points


def read(path: Path) -> Recording:
    """Headers, points and matches of a bag; ValueError if a message is inconsistent."""
    recording, matcher = Recording(), Matcher()
    for topic, time_ns, message in messages(path, *TYPES):
        header = header_of(message)
        if topic == 'image':
            recording.images.append(header)
        elif topic != 'descriptors':
            getattr(recording, topic).append(Received(points_of(message), time_ns))
        else:
            points = points_of(message.keypoints)
            if header != points.header:
                raise ValueError(f'descriptors of {header} contain keypoints of {points.header}')
            if len(message.data) != len(points.x) * message.dim:
                raise ValueError(
                    f'descriptors of {header}: {len(message.data)} values for {len(points.x)} '
                    f'points of dimension {message.dim}'
                )
            recording.descriptors.append(Received(points, time_ns))
            rows = message.data.reshape(len(points.x), message.dim)
            if matches := matcher.add(message.model, points, rows):
                recording.matches.append(matches)
    return recording
