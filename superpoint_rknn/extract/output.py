"""Output bags: written in a folder of the attempt, then renamed, so that none is incomplete."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import socket
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from superpoint_rknn.bounded_yaml import read_yaml

RECORD = 'superpoint_rknn'  # key in the custom data of a bag's metadata
CONFLICT_PAUSE = 0.5  # [s]; network file systems show a new folder late


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


def finished_summary(path: Path, request: dict[str, Any], replace: bool) -> dict[str, Any] | None:
    """
    Summary of an output that was completed for the same request; None if there is none.

    replace: also return None if the output was made for another request.
    Raises FileExistsError if it was, without `replace`.
    """
    record = read_record(path)
    if record is None:
        return None
    before = record['request']
    if before == request:
        return record['summary']
    if replace:
        return None
    changes = ', '.join(
        f'{name}: {before.get(name)!r} before, {request.get(name)!r} now'
        for name in sorted(before.keys() | request.keys())
        if before.get(name) != request.get(name)
    )
    raise FileExistsError(
        f'{path} was made from other inputs or settings ({changes}): use --force to replace it, '
        'or name another output'
    )


class Attempts:
    """
    Attempts to write an output: the folder OUTPUT.attempts, with a folder for each of them.

    The folder of an attempt is removed when the attempt ends with a result or is cancelled. So it
    remains of one that crashed or was killed. No two attempts have a file in common, for two can
    run at the same time: Dask runs a task again if it loses the connection to a worker.
    """

    def __init__(self, output: Path):
        self.folder = output.with_name(f'{output.name}.attempts')

    def count(self) -> int:
        """Return the number of attempts that run, crashed or were killed."""
        return len(list(self.folder.glob('attempt-*')))

    def clean(self) -> None:
        """Remove the files of attempts that were killed on this machine."""
        for folder in self.folder.glob('attempt-*'):
            machine, pid, _ = folder.name.removeprefix('attempt-').rsplit('-', 2)
            if machine == socket.gethostname() and not Path('/proc', pid).exists():
                for path in folder.iterdir():
                    shutil.rmtree(path, ignore_errors=True)

    def remove(self) -> None:
        """Remove the folders of all attempts."""
        for folder in self.folder.glob('attempt-*'):
            shutil.rmtree(folder, ignore_errors=True)
        self.remove_if_empty()

    def remove_if_empty(self) -> None:
        """Remove the folder unless it contains something."""
        with suppress(OSError):  # of another attempt, or removed by it
            self.folder.rmdir()


class Attempt:
    """
    Context in which an attempt writes a bag in its folder of `Attempts`.

    On exit the folder is removed; with `failed` set it remains, without the bag, and counts.
    """

    def __init__(self, output: Path):
        self._output = output
        self._attempts = Attempts(output)
        name = f'attempt-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}'
        self._folder = self._attempts.folder / name
        self._replaced = self._folder / 'replaced'
        self.bag = self._folder / output.name
        self.failed = False

    def __enter__(self) -> Attempt:
        self._attempts.clean()
        self._folder.mkdir(parents=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        shutil.rmtree(self.bag if self.failed else self._folder, ignore_errors=True)
        if not self.failed:
            self._attempts.remove_if_empty()

    def complete(
        self, request: dict[str, Any], summary: dict[str, Any], replace: bool
    ) -> dict[str, Any]:
        """
        Sync the bag to disk and rename it to the output; remove the folders of all attempts.

        replace: an output that was made for another request.
        Returns `summary`, or that of another attempt at the same request which was faster; its bag
        is kept, this one is not. Raises FileExistsError if there is something else.
        """
        for path in (*self.bag.iterdir(), self.bag):
            _fsync(path)
        while (finished := finished_summary(self._output, request, replace)) is None:
            try:
                if read_record(self._output) is not None:
                    shutil.rmtree(self._replaced, ignore_errors=True)
                    self._output.rename(self._replaced)
                self.bag.rename(self._output)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
                time.sleep(CONFLICT_PAUSE)  # an output was created meanwhile
                continue
            finished = summary
            break
        _fsync(self._output.parent)
        self._attempts.remove()
        return finished


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
