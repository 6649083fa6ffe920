"""Where a bag of features comes to stand: whole under its name, or not at all."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

RECORD = 'superpoint_rknn'  # key of a bag's custom data


def find_record(path: Path) -> dict[str, Any] | None:
    """
    What was extracted into a bag: its `request`, and its `summary`.

    Returns None where there is nothing yet. Raises FileExistsError where something else is.
    """
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return None
    try:
        metadata = YAML(typ='safe', pure=True).load((path / 'metadata.yaml').read_text('utf-8'))
        record = json.loads(metadata['rosbag2_bagfile_information']['custom_data'][RECORD])
        return {'request': dict(record['request']), 'summary': dict(record['summary'])}
    except (OSError, YAMLError, ValueError, LookupError, TypeError):
        raise FileExistsError(
            f'{path} is there already and no result of `superpoint_rknn extract`: name another '
            'output'
        ) from None


def differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    """How two requests differ, for people; empty if they don't."""
    return ', '.join(
        f'{name}: {before.get(name)!r} before, {now.get(name)!r} now'
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    )


class Output:
    """
    A bag being written in a folder beside its place, NAME.partial, which is locked meanwhile.

    What an interrupted run left there is removed. As a context it tidies up at the end.
    """

    def __init__(self, path: Path):
        self.path = path
        self._partial = path.with_name(f'{path.name}.partial')
        self.bag = self._partial / path.name
        self._replaced = self._partial / 'replaced'
        self.lock: int | None = None  # file descriptor; the lock lasts as long as a copy is open

    def __enter__(self) -> Output:
        """Raise FileExistsError if another run is writing there, or the folder isn't ours."""
        self._partial.mkdir(parents=True, exist_ok=True)
        self.lock = os.open(self._partial, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._take()
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
        Give the bag its name, on disk for good; what `extract` left there before goes.

        Raises FileExistsError if something else came there meanwhile.
        """
        for path in (*self.bag.iterdir(), self.bag):
            _to_disk(path)
        find_record(self.path)
        if self.path.exists():
            self.path.rename(self._replaced)
        self.bag.rename(self.path)
        _to_disk(self.path.parent)

    def _take(self) -> None:
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FileExistsError(f'{self._partial}: another run is writing there') from None
        for path in self._partial.iterdir():
            if path not in (self.bag, self._replaced):
                raise FileExistsError(f'{path} is in the way: remove {self._partial}')
            shutil.rmtree(path)


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
