"""The files of a recording: which there are, which are missing, and how each is opened."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from superpoint_rknn.bounded_yaml import read_yaml
from superpoint_rknn.sources.compression import ZSTD_MAGIC, unpack
from superpoint_rknn.sources.mcap import MAGIC as MCAP_MAGIC
from superpoint_rknn.sources.mcap import open_mcap
from superpoint_rknn.sources.ros1 import MAGIC as ROS1_MAGIC
from superpoint_rknn.sources.ros1 import open_ros1
from superpoint_rknn.sources.sqlite import MAGIC as SQLITE_MAGIC
from superpoint_rknn.sources.sqlite import SqliteFile
from superpoint_rknn.sources.storage import Storage

METADATA = 'metadata.yaml'
RECORDINGS = ('.bag', '.db3', '.db3.zstd', '.mcap', '.mcap.zstd')  # what names of files end with
ROS2_FILES = RECORDINGS[1:]  # of which a rosbag2 may have several in its folder


def is_recording(path: Path) -> bool:
    """True for the file of a recording, and for a folder with metadata.yaml or such files."""
    if path.is_dir():
        return (path / METADATA).is_file() or bool(_storage_files(path))
    return path.name.lower().endswith(RECORDINGS)


def stem(path: Path) -> str:
    """Name of a recording's file without its suffixes."""
    return Path(path.name.removesuffix('.zstd')).stem


def euroc_cameras(path: Path) -> list[Path]:
    """Folders of the cameras of a sequence; path: its folder, mav0 or the one of a camera."""
    for pattern in ('mav0/cam*/data.csv', 'cam*/data.csv', 'data.csv'):
        cameras = [p.parent for p in sorted(path.glob(pattern)) if (p.parent / 'data').is_dir()]
        if cameras:
            return cameras
    return []


@dataclass
class Files:
    """What is known of a recording's files."""

    paths: list[Path]
    missing: list[str] = field(default_factory=list)
    promised: dict[str, int] = field(default_factory=dict)  # messages by topic, in metadata.yaml


def find_files(path: Path) -> Files:
    """
    Files of a recording: the only one, or all in a folder.

    Raises ValueError if there is none, or if a folder without metadata.yaml has several
    recordings.
    """
    if not path.is_dir():
        return Files([path])
    present = {file.name: file for file in _storage_files(path)}
    files = Files(list(present.values()))
    if (path / METADATA).is_file():
        try:
            listed, files.promised = _read_metadata(path / METADATA)
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            files.missing.append(f'{METADATA}: damaged, so nobody knows what is missing: {reason}')
        else:
            files.missing += [f'{name}: no such file' for name in listed if name not in present]
    else:
        names = {_name_of_split(name) for name in present}
        if len(names) > 1:
            raise ValueError(f'several recordings ({", ".join(sorted(names))}): name one')
    if not files.paths:
        raise ValueError(f'no files of a recording ({", ".join(ROS2_FILES)}) in it')
    return files


def open_storage(path: Path, folder: Path) -> Storage:
    """
    Open a file of a recording.

    folder: empty one for files that have to be decompressed or copied.
    Raises OSError or ValueError if it is no such file.
    """
    with path.open('rb') as file:
        start = file.read(16)
    if not start:
        raise ValueError('an empty file')
    if start.startswith(ZSTD_MAGIC):
        target = folder / path.stem
        damage = unpack(path, target)
        (folder / 'copy').mkdir()
        storage = open_storage(target, folder / 'copy')
        if damage:
            storage.missing.append(f'{path.name}: {damage}')
        return storage
    openers: dict[bytes, Callable[[], Storage]] = {
        MCAP_MAGIC: lambda: open_mcap(path),
        ROS1_MAGIC: lambda: open_ros1(path),
        SQLITE_MAGIC: lambda: SqliteFile(path, folder),
    }
    for magic, opener in openers.items():
        if start.startswith(magic):
            try:
                return opener()
            except sqlite3.Error as error:
                raise ValueError(str(error)) from error
    raise ValueError('its first bytes are those of no MCAP, SQLite or ROS 1 file')


class Temporary:
    """Empty folders, which are removed with this object."""

    def __init__(self) -> None:
        self._root: TemporaryDirectory[str] | None = None
        self._count = 0

    def folder(self) -> Path:
        """Return a new empty folder."""
        if self._root is None:
            self._root = TemporaryDirectory(prefix='superpoint_rknn_')
        self._count += 1
        folder = Path(self._root.name, str(self._count))
        folder.mkdir()
        return folder


def _storage_files(folder: Path) -> list[Path]:
    """Files of a rosbag2; of one and its compressed copy, the former."""
    files = {
        file.name: file
        for file in sorted(folder.iterdir())
        if file.name.lower().endswith(ROS2_FILES) and file.is_file()
    }
    return [
        file
        for name, file in files.items()
        if name.removesuffix('.zstd') not in files or not name.endswith('.zstd')
    ]


def _name_of_split(name: str) -> str:
    """Name of a recording without the number that rosbag2 appends to each of its files."""
    return re.sub(r'(_\d+)?(\.db3|\.mcap)(\.zstd)?$', '', name, flags=re.IGNORECASE)


def _read_metadata(path: Path) -> tuple[list[str], dict[str, int]]:
    """
    Names of the files and messages by topic in a metadata.yaml.

    Raises OSError, or ValueError if it is damaged. Folders in its paths are ignored: the files
    stand beside it.
    """
    tree = read_yaml(path, typed=True)
    try:
        information = tree['rosbag2_bagfile_information']
        names = [Path(_checked(name, str)).name for name in information['relative_file_paths']]
        promised: Counter[str] = Counter()
        for topic in information['topics_with_message_count']:
            name = _checked(topic['topic_metadata']['name'], str)
            promised[name] += _checked(topic['message_count'], int)
    except (LookupError, TypeError) as error:
        raise ValueError(f'{type(error).__name__}: {error}') from error
    return names, promised


def _checked(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f'{value!r}, expected {kind.__name__}')
    return value
