"""Read the SQLite files of a rosbag2, also those that their recorder did not close."""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from superpoint_rknn.sources.storage import Connection, Message

MAGIC = b'SQLite format 3\0'
JOURNALS = ('-wal', '-journal')  # what a recorder leaves that was killed


class SqliteFile:
    """
    A .db3 file, see Storage.

    folder: empty one for a copy, which is made of a file with a journal: SQLite would change the
    recording to read it.
    """

    def __init__(self, path: Path, folder: Path):
        """Raise OSError, ValueError or sqlite3.Error if it is no such file."""
        self.missing: list[str] = []
        self._path = path
        self._uri = f'file:{quote(str(path))}?immutable=1'
        with path.open('rb') as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise ValueError('no SQLite database')
        if any(_has_content(_beside(path, suffix)) for suffix in JOURNALS):
            self._uri = f'file:{quote(str(_copy(path, folder)))}'
        self._connections: dict[int, Connection] = {}
        try:
            with closing(self._open()) as database:
                self._read_topics(database)
                numbers = self._count(database)
                self.span = self._read_span(database)
        except MemoryError as error:  # for a record whose size is damaged
            raise ValueError('damaged: SQLite can not allocate a record') from error
        self.counts = Counter(dict.fromkeys(self._connections.values(), 0))
        for number, count in numbers.items():
            if number in self._connections:
                self.counts[self._connections[number]] += count

    def messages(self, topics: Collection[str]) -> Iterator[Message]:
        """Iterate over the messages on topics in order of time; stop where the file is damaged."""
        numbers = [n for n, connection in self._connections.items() if connection.topic in topics]
        # Without its index, a damaged file is readable up to the damage.
        table, key = ('messages NOT INDEXED', 'id') if self.missing else ('messages', 'timestamp')
        query = (
            f'SELECT topic_id, timestamp, data FROM {table} '
            f'WHERE topic_id IN ({",".join("?" * len(numbers))}) ORDER BY {key}, id'
        )
        count = 0
        with closing(self._open()) as database:
            try:
                for number, time_ns, data in database.execute(query, numbers):
                    if not isinstance(time_ns, int) or not isinstance(data, bytes):
                        raise ValueError(f'timestamp {time_ns!r}, data {type(data).__name__}')
                    yield Message(time_ns, self._connections[number], data)
                    count += 1
            except (MemoryError, sqlite3.Error, ValueError) as error:
                self.missing.append(f'{self._path.name}: damaged after {count} images: {error}')

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._uri, uri=True)
        database.execute('PRAGMA trusted_schema=OFF')
        database.execute('PRAGMA writable_schema=ON')  # ignores tables beyond a cut
        return database

    def _read_topics(self, database: sqlite3.Connection) -> None:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type='table'")
        if not {('messages',), ('topics',)} <= set(tables):
            raise ValueError('no rosbag2: it has no tables of topics and messages')
        query = 'SELECT id, name, type, serialization_format FROM topics'
        for number, topic, kind, encoding in database.execute(query):
            if not all(isinstance(text, str) for text in (topic, kind, encoding)):
                raise ValueError(f'a topic of name {topic!r} and type {kind!r}')
            kind = kind if encoding == 'cdr' else f'{kind} in {encoding}'
            self._connections[number] = Connection(topic, kind)

    def _count(self, database: sqlite3.Connection) -> Counter[int]:
        """Messages by topic; of a damaged file, those before the damage."""
        counts: Counter[int] = Counter()
        try:
            query = 'SELECT topic_id, count(*) FROM messages GROUP BY topic_id'
            return Counter(dict(database.execute(query)))
        except sqlite3.Error as error:
            self.missing.append(f'{self._path.name}: cut or damaged: {error}')
        try:
            for row in database.execute('SELECT topic_id FROM messages NOT INDEXED ORDER BY id'):
                counts.update(row)
        except sqlite3.Error:
            pass  # which `missing` states already
        return counts

    def _read_span(self, database: sqlite3.Connection) -> tuple[int, int]:
        try:
            query = 'SELECT min(timestamp), max(timestamp) FROM messages'
            (start, end) = database.execute(query).fetchone()
        except sqlite3.Error as error:
            if not self.missing:
                self.missing.append(f'{self._path.name}: damaged: {error}')
            return (0, 2**63 - 1)
        return (start, end) if isinstance(start, int) and isinstance(end, int) else (0, 0)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _has_content(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _copy(path: Path, folder: Path) -> Path:
    """Copy a database with its journals. Raises ValueError if the disk is full."""
    files = [path, *(p for suffix in JOURNALS if _has_content(p := _beside(path, suffix)))]
    size = sum(file.stat().st_size for file in files)
    if size > shutil.disk_usage(folder).free:
        raise ValueError(
            f'it has a journal, and there is no space for a copy in {folder.parent}: set TMPDIR '
            'to a folder with more'
        )
    for file in files:
        shutil.copyfile(file, folder / file.name)
    return folder / path.name
