"""
Read ROS 1 bags (http://wiki.ros.org/Bags/Format/2.0), also truncated and unindexed ones.

The file is read from its start, one record after the other; the index at its end is not used.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from superpoint_rknn.sources.compression import decompress
from superpoint_rknn.sources.storage import Bytes, Chunk, ChunkedFile, Connection, Damage

MAGIC = b'#ROSBAG V2.0\n'
MESSAGE, BAG_HEADER, INDEX, CHUNK, CONNECTION = 2, 3, 4, 5, 7
WORD = struct.Struct('<I')
ENTRY = struct.Struct('<III')  # of an index: seconds, nanoseconds, offset
SECOND = 1_000_000_000  # [ns]


def open_ros1(path: Path) -> ChunkedFile:
    """Find all whole chunks of a bag. Raises OSError or ValueError if it is no ROS 1 bag."""
    with path.open('rb') as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise ValueError('no ROS 1 bag of version 2.0')
        scan = _Scan(path)
        scan.run(file)
        return scan.file


class _Scan:
    """One pass over the records of a file."""

    def __init__(self, path: Path):
        self.file = ChunkedFile(path, self._load)
        self._index_position = 0  # 0: the recorder did not close the bag

    def run(self, file: BinaryIO) -> None:
        source = Bytes(file, self.file.path.stat().st_size)
        name = self.file.path.name
        try:
            while source.position < source.end:
                self._read_record(source)
        except Damage as error:
            self.file.missing.append(f'{name}: cut, or its recorder was stopped: {error}')
        else:
            if not self._index_position:
                self.file.missing.append(
                    f'{name}: not closed by its recorder: the last messages may be missing'
                )
            elif self._index_position > source.end:
                self.file.missing.append(f'{name}: cut at byte {source.end}')
        known = self.file.connections.keys()
        if not all(chunk.counts and chunk.counts.keys() <= known for chunk in self.file.chunks):
            self.file.count(file)  # which reads the connections in the chunks, too

    def _read_record(self, source: Bytes) -> None:
        """Read a record outside of chunks. Raises Damage; ValueError if the bag is encrypted."""
        position = source.position
        header = _read_header(source)
        (length,) = WORD.unpack(source.read(WORD.size))
        code, chunks = header.number('op', 1), self.file.chunks
        if code == CHUNK:
            chunks.append(Chunk(position, is_cut=length > source.end - source.position))
        source.expect(length)
        if code == CONNECTION:
            self._define(header, source.read(length))
        elif code == INDEX and chunks:
            number = header.number('conn')
            data = source.read(length)
            for seconds, nanoseconds, _ in ENTRY.iter_unpack(data[: length // 12 * 12]):
                chunks[-1].add(number, seconds * SECOND + nanoseconds)
        else:
            if code == BAG_HEADER:
                self._index_position = header.number('index_pos', 8)
                if header.get('encryptor'):
                    raise ValueError('encrypted')
            source.skip(length)

    def _define(self, header: _Header, data: bytes) -> None:
        """Note a connection."""
        kind = _Header(data).text('type').replace('/', '/msg/')
        topic = header.text('topic')
        names = '/'.join(name for name in topic.split('/') if name)
        topic = f'/{names}' if topic.startswith('/') else names
        self.file.define(header.number('conn'), Connection(topic, kind, is_ros1=True))

    def _load(self, file: BinaryIO, chunk: Chunk) -> Iterator[tuple[int, int, bytes]]:
        """Messages of a chunk."""
        file.seek(chunk.position)
        source = Bytes(file, self.file.path.stat().st_size)
        header = _read_header(source)
        (length,) = WORD.unpack(source.read(WORD.size))
        size = header.number('size')
        data = source.read_rest(length) if chunk.is_cut else source.read(length)
        records = decompress(header.text('compression'), data, size, chunk.is_cut)
        if len(records) != size and not chunk.is_cut:
            raise Damage(f'{len(records)} bytes decompressed, expected {size}')
        source = Bytes(BytesIO(records), len(records))
        try:
            while source.position < source.end:
                header = _read_header(source)
                data = source.read(*WORD.unpack(source.read(WORD.size)))
                code = header.number('op', 1)
                if code == CONNECTION:
                    self._define(header, data)
                elif code == MESSAGE:
                    yield self._message(header, data)
        except Damage:
            if not chunk.is_cut:
                raise

    def _message(self, header: _Header, data: bytes) -> tuple[int, int, bytes]:
        number = header.number('conn')
        if number not in self.file.connections:
            raise Damage(f'a message of the undefined connection {number}')
        time = header.number('time', 8)  # seconds in the lower word
        return number, (time & 0xFFFFFFFF) * SECOND + (time >> 32), data


class _Header(dict[str, bytes]):
    """Fields of a record's header. Raises Damage for those that are no such."""

    def __init__(self, data: bytes):
        super().__init__()
        source = Bytes(BytesIO(data), len(data))
        while source.position < source.end:
            name, _, value = source.read(*WORD.unpack(source.read(WORD.size))).partition(b'=')
            self[name.decode('latin-1')] = value

    def number(self, name: str, size: int = 4) -> int:
        """Return an unsigned number of `size` bytes."""
        value = self.get(name, b'')
        if len(value) != size:
            raise Damage(f'{name}: {value[:20]!r}, expected {size} bytes')
        return int.from_bytes(value, 'little')

    def text(self, name: str) -> str:
        try:
            return self[name].decode()
        except (KeyError, UnicodeDecodeError):
            raise Damage(f'{name}: {self.get(name, b"")[:20]!r}, expected a text') from None


def _read_header(source: Bytes) -> _Header:
    return _Header(source.read(*WORD.unpack(source.read(WORD.size))))
