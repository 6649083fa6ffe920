"""What all files of recordings have in common: topics, and messages in order of time."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from superpoint_rknn.sources.compression import LARGEST

MOST_PENDING = 2 * LARGEST  # bytes of messages in memory, of chunks that overlap in time


@dataclass(frozen=True)
class Connection:
    """A topic of a file."""

    topic: str
    kind: str  # sensor_msgs/msg/...
    is_ros1: bool = False  # serialised as by ROS 1


class Message(NamedTuple):
    """A serialised message; messages sort by time of recording."""

    time_ns: int
    connection: Connection
    content: bytes | ValueError  # why there is none


class Storage(Protocol):
    """A file of a recording. What of it can't be read stands in `missing`, one text each."""

    missing: list[str]

    @property
    def counts(self) -> Counter[Connection]:
        """Messages by connection, also those without any."""
        ...

    @property
    def span(self) -> tuple[int, int]:
        """Times of the first and the last message [ns]."""
        ...

    def messages(self, topics: Collection[str]) -> Iterator[Message]:
        """Iterate over the messages on topics in order of time; may add to `missing`."""
        ...


class Damage(ValueError):
    """Bytes that are no valid record."""


class Bytes:
    """Part of a file, read from front to back; no read goes beyond its end."""

    def __init__(self, file: BinaryIO, size: int):
        self._file = file
        self.position = file.tell()
        self.end = size

    def read(self, size: int) -> bytes:
        """Read `size` bytes. Raises Damage if there are fewer, or if they are too many."""
        self.expect(size)
        if size > LARGEST:
            raise Damage(f'{size} bytes at byte {self.position}, expected at most {LARGEST}')
        data = self._file.read(size)
        self.position += len(data)
        if len(data) != size:
            raise Damage(f'the file ends at byte {self.position}')
        return data

    def skip(self, size: int) -> None:
        """Leave bytes out. Raises Damage if there are fewer."""
        self.expect(size)
        self.position = self._file.seek(size, 1)

    def expect(self, size: int) -> None:
        """Raise Damage if there are fewer bytes."""
        if size > self.end - self.position:
            raise Damage(f'{size} bytes expected at byte {self.position} of {self.end}')

    def read_rest(self, size: int) -> bytes:
        """Read `size` bytes, or fewer if the file ends before."""
        return self.read(min(size, self.end - self.position))


@dataclass
class Chunk:
    """Messages that a file holds together."""

    position: int  # [bytes] in the file
    start_ns: int = 2**63 - 1
    end_ns: int = 0
    is_cut: bool = False  # the file ends in it
    counts: Counter[int] = field(default_factory=Counter)  # messages by number of the connection

    def add(self, connection: int, time_ns: int) -> None:
        """Count a message."""
        self.start_ns = min(self.start_ns, time_ns)
        self.end_ns = max(self.end_ns, time_ns)
        self.counts[connection] += 1


Content = Iterable[tuple[int, int, bytes]]  # number of the connection, time [ns], data


@dataclass
class ChunkedFile:
    """
    A file of chunks: MCAP or ROS 1.

    load: returns what a chunk of the open file holds; raises ValueError if it is damaged.
    """

    path: Path
    load: Callable[[BinaryIO, Chunk], Content]
    chunks: list[Chunk] = field(default_factory=list)
    connections: dict[int, Connection] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    @property
    def counts(self) -> Counter[Connection]:
        counts = Counter(dict.fromkeys(self.connections.values(), 0))
        for chunk in self.chunks:
            for number, count in chunk.counts.items():
                counts[self.connections[number]] += count
        return counts

    @property
    def span(self) -> tuple[int, int]:
        filled = [chunk for chunk in self.chunks if chunk.counts]
        return (
            min((chunk.start_ns for chunk in filled), default=0),
            max((chunk.end_ns for chunk in filled), default=0),
        )

    def define(self, number: int, connection: Connection) -> None:
        """Note a connection; files repeat its definition, and damage must not change it."""
        self.connections.setdefault(number, connection)

    def count(self, file: BinaryIO) -> None:
        """Count the messages of all chunks by reading them; discard chunks that are damaged."""
        intact = []
        for chunk in self.chunks:
            counted = Chunk(chunk.position, is_cut=chunk.is_cut)
            try:
                for number, time_ns, _ in self.load(file, chunk):
                    counted.add(number, time_ns)
            except ValueError as error:
                self._discard(chunk, error)
            else:
                intact.append(counted)
        self.chunks = intact

    def messages(self, topics: Collection[str]) -> Iterator[Message]:
        """Iterate over the messages on topics in order of time; discard damaged chunks."""
        numbers = {n for n, connection in self.connections.items() if connection.topic in topics}
        wanted = [chunk for chunk in self.chunks if not numbers.isdisjoint(chunk.counts)]
        wanted.sort(key=lambda chunk: chunk.start_ns)
        starts = [chunk.start_ns for chunk in wanted[1:]] + [2**64]  # the last: all
        pending: list[tuple[int, int, int, int, bytes]] = []
        size = 0
        with self.path.open('rb') as file:
            for chunk, next_start in zip(wanted, starts, strict=False):
                try:
                    for index, (number, time_ns, data) in enumerate(self.load(file, chunk)):
                        if number in numbers:
                            size += len(data)
                            item = (time_ns, chunk.position, index, number, data)
                            heapq.heappush(pending, item)
                except ValueError as error:
                    self._discard(chunk, error)
                if size > MOST_PENDING:
                    raise ValueError(
                        f'{self.path}: more than {MOST_PENDING} bytes of messages overlap in time'
                    )
                while pending and pending[0][0] < next_start:
                    time_ns, _, _, number, data = heapq.heappop(pending)
                    size -= len(data)
                    yield Message(time_ns, self.connections[number], data)

    def _discard(self, chunk: Chunk, error: ValueError) -> None:
        self.missing.append(
            f'{self.path.name}: {chunk.counts.total() or "the"} messages of the chunk at byte '
            f'{chunk.position}: {error}'
        )


def in_order(storages: Iterable[Storage], topics: Collection[str]) -> Iterator[Message]:
    """Iterate over the messages of several files in order of time."""
    groups: list[list[Storage]] = []  # files that overlap in time
    end = -1
    for storage in sorted(storages, key=lambda storage: storage.span):
        if groups and storage.span[0] <= end:
            groups[-1].append(storage)
        else:
            groups.append([storage])
        end = max(end, storage.span[1])
    return chain.from_iterable(
        heapq.merge(*(s.messages(topics) for s in group), key=lambda message: message.time_ns)
        for group in groups
    )
