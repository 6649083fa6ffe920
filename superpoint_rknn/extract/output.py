"""Output bags: written to a locked folder, then renamed, so that none is ever incomplete."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any

from superpoint_rknn.bounded_yaml import read_yaml

RECORD = 'superpoint_rknn'  # key in the custom data of a bag's metadata


def read_record(path: Path) -> dict[str, Any] | None:
    """
    Read the `request` and the `summary` of a bag that `extract` wrote.

    Returns None if `path` does not exist or is an empty folder. Raises FileExistsError if it is
    anything else.
    """
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return None
    try:
        metadata = read_yaml(path / 'metadata.yaml')
        record = json.loads(metadata['rosbag2_bagfile_information']['custom_data'][RECORD])
        return {'request': dict(record['request']), 'summary': dict(record['summary'])}
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        raise FileExistsError(
            f'{path} exists and was not written by `superpoint_rknn extract`: name another output'
        ) from None


def describe_changes(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Text that lists the entries in which two requests differ; empty if they are equal."""
    return ', '.join(
        f'{name}: {before.get(name)!r} before, {now.get(name)!r} now'
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    )


class Output:
    """
    Context in which a bag is written: a locked folder NAME.partial beside the final path.

    Leftovers of an interrupted run are removed at the start, the folder at the end.
    """

    def __init__(self, path: Path):
        self.path = path
        self._partial = path.with_name(f'{path.name}.partial')
        self.bag = self._partial / path.name
        self._replaced = self._partial / 'replaced'
        self.lock = -1  # file descriptor; the folder stays locked while a copy of it is open

    def __enter__(self) -> Output:
        """Raises FileExistsError if another run writes there, or the folder holds other files."""
        self._partial.mkdir(parents=True, exist_ok=True)
        self.lock = os.open(self._partial, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._lock_and_empty()
        except BaseException:
            os.close(self.lock)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        shutil.rmtree(self._partial, ignore_errors=True)
        os.close(self.lock)

    def complete(self) -> None:
        """
        Sync the bag to disk and rename it to the final path, replacing an older output.

        Raises FileExistsError if something else was created there meanwhile.
        """
        for path in (*self.bag.iterdir(), self.bag):
            _fsync(path)
        read_record(self.path)
        if self.path.exists():
            self.path.rename(self._replaced)
        self.bag.rename(self.path)
        _fsync(self.path.parent)

    def _lock_and_empty(self) -> None:
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FileExistsError(f'{self._partial}: another run is writing there') from None
        for path in self._partial.iterdir():
            if path not in (self.bag, self._replaced):
                raise FileExistsError(
                    f'{path} is not from `superpoint_rknn extract`: remove {self._partial}'
                )
            shutil.rmtree(path)


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
