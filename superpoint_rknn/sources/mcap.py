"""
Read MCAP files (https://mcap.dev/spec), also truncated ones and those without index.

The file is read from its start, one record after the other, so that every whole chunk before a
cut is found. The index at its end is not used.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from superpoint_rknn.sources.compression import decompress
from superpoint_rknn.sources.storage import Bytes, Chunk, ChunkedFile, Connection, Damage

MAGIC = b'\x89MCAP0\r\n'
FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, MESSAGE_INDEX = 0x02, 0x03, 0x04, 0x05, 0x06, 0x07
OPCODES = range(0x01, 0x100)
LENGTH = struct.Struct('<BQ')  # opcode, length of the record
NUMBER, SIZE, LONG_SIZE = struct.Struct('<H'), struct.Struct('<I'), struct.Struct('<Q')
HEADERS = {  # what the records begin with
    MESSAGE: struct.Struct('<HIQQ'),  # channel, sequence, time of recording, of publication
    CHUNK: struct.Struct('<QQQI'),  # first and last time, decompressed size, CRC
    MESSAGE_INDEX: struct.Struct('<HI'),  # channel, bytes of index
}


def open_mcap(path: Path) -> ChunkedFile:
    """Find all whole chunks of a file. Raises OSError or ValueError if it is no MCAP file."""
    with path.open('rb') as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise ValueError('no MCAP file')
        scan = _Scan(path)
        scan.run(file)
        return scan.file


class _Scan:
    """One pass over the records of a file."""

    def __init__(self, path: Path):
        self.file = ChunkedFile(path, self._load)
        self._schemas: dict[int, str] = {}

    def run(self, file: BinaryIO) -> None:
        source = Bytes(file, self.file.path.stat().st_size)
        try:
            while self._read_record(source) != FOOTER:
                pass
            source.read(len(MAGIC))
        except Damage as error:
            self.file.missing.append(
                f'{self.file.path.name}: cut, or its recorder was stopped: {error}'
            )
        chunks = self.file.chunks
        known = self.file.connections.keys()
        if not all(chunk.counts and chunk.counts.keys() <= known for chunk in chunks):
            self.file.count(file)  # which reads the channels in the chunks, too

    def _read_record(self, source: Bytes) -> int:
        """Read a record outside of chunks; return its opcode. Raises Damage."""
        position = source.position
        code, length = LENGTH.unpack(source.read(LENGTH.size))
        if code not in OPCODES:
            raise Damage(f'no record at byte {position}')
        chunks = self.file.chunks
        if code == CHUNK:
            chunks.append(Chunk(position, is_cut=length > source.end - source.position))
        source.expect(length)
        if code in HEADERS:
            header = source.read(min(length, HEADERS[code].size))
            source.skip(length - len(header))
            fields = _Fields(header)
        if code == CHUNK:
            chunks[-1].start_ns, chunks[-1].end_ns, _, _ = fields.unpack(HEADERS[code])
        elif code == MESSAGE:
            channel, _, time_ns, _ = fields.unpack(HEADERS[code])
            chunks.append(Chunk(position))
            chunks[-1].add(channel, time_ns)
        elif code == MESSAGE_INDEX and chunks:
            channel, size = fields.unpack(HEADERS[code])
            if size:
                chunks[-1].counts[channel] += size // 16  # a time and an offset each
        elif code in (SCHEMA, CHANNEL):
            self._define(code, source.read(length))
        else:
            source.skip(length)
        return code

    def _define(self, code: int, data: bytes) -> None:
        """Note a schema or a channel."""
        fields = _Fields(data)
        (number,) = fields.unpack(NUMBER)
        if code == SCHEMA:
            self._schemas.setdefault(number, fields.text())
            return
        (schema,) = fields.unpack(NUMBER)
        topic, encoding = fields.text(), fields.text()
        kind = self._schemas.get(schema, '')
        if encoding == 'ros1':
            kind = kind.replace('/', '/msg/')
        elif encoding != 'cdr':
            kind = f'{kind} in {encoding}'
        self.file.define(number, Connection(topic, kind, encoding == 'ros1'))

    def _load(self, file: BinaryIO, chunk: Chunk) -> Iterator[tuple[int, int, bytes]]:
        """Messages of a chunk, or the one outside of chunks that stands there."""
        file.seek(chunk.position)
        source = Bytes(file, self.file.path.stat().st_size)
        code, length = LENGTH.unpack(source.read(LENGTH.size))
        fields = _Fields(source.read_rest(length) if chunk.is_cut else source.read(length))
        if code == MESSAGE:
            yield self._message(fields)
            return
        _, _, size, crc = fields.unpack(HEADERS[CHUNK])
        compression = fields.text()
        (compressed,) = fields.unpack(LONG_SIZE)
        data = fields.rest() if chunk.is_cut else fields.take(compressed)
        records = decompress(compression, data, size, chunk.is_cut)
        if not chunk.is_cut:
            if len(records) != size:
                raise Damage(f'{len(records)} bytes decompressed, expected {size}')
            if crc and zlib.crc32(records) != crc:
                raise Damage('its checksum differs')
        source = Bytes(BytesIO(records), len(records))
        try:
            while source.position < source.end:
                code, length = LENGTH.unpack(source.read(LENGTH.size))
                if code == MESSAGE:
                    yield self._message(_Fields(source.read(length)))
                elif code in (SCHEMA, CHANNEL):
                    self._define(code, source.read(length))
                else:
                    source.skip(length)
        except Damage:
            if not chunk.is_cut:
                raise

    def _message(self, fields: _Fields) -> tuple[int, int, bytes]:
        channel, _, time_ns, _ = fields.unpack(HEADERS[MESSAGE])
        if channel not in self.file.connections:
            raise Damage(f'a message of the undefined channel {channel}')
        return channel, time_ns, fields.rest()


class _Fields:
    """Fields of a record, one after the other. Raises Damage beyond its end."""

    def __init__(self, data: bytes):
        self._data = data
        self._position = 0

    def take(self, size: int) -> bytes:
        start = self._position
        if size > len(self._data) - start:
            raise Damage(f'a field of {size} bytes in a record of {len(self._data)}')
        self._position += size
        return self._data[start : self._position]

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._position)

    def unpack(self, layout: struct.Struct) -> tuple[int, ...]:
        return layout.unpack(self.take(layout.size))

    def text(self) -> str:
        (size,) = self.unpack(SIZE)
        try:
            return self.take(size).decode()
        except UnicodeDecodeError as error:
            raise Damage(f'a text that is not UTF-8: {error}') from error
