"""Installed files of the package, bounded reads, and atomic writes."""

from __future__ import annotations

import errno
import os
import site
import stat
import sys
import sysconfig
from pathlib import Path
from typing import BinaryIO


def find_shared_file(name: str) -> Path:
    """
    Find a file that the package ships: 'models/superpoint.npz', 'config/fastdds.xml', ...

    Searches the checkout, then share/superpoint_rknn of ROS workspaces and of pip's prefixes.
    Raises FileNotFoundError if no folder has it.
    """
    prefixes = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
    prefixes += [sys.prefix, sysconfig.get_path('data'), site.getuserbase()]  # pip's
    installed = [Path(prefix, 'share', 'superpoint_rknn') for prefix in prefixes if prefix]
    # Symlinks are not resolved: a symlinked installation has files of its own.
    checkout = Path(__file__).absolute().parents[1]
    for folder in (checkout, *installed):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(
        f'{name}: not installed: source the workspace that superpoint_rknn is installed in'
    )


def open_regular(path: str | Path, limit: int) -> BinaryIO:
    """
    Open a regular file of at most `limit` bytes; never wait for a FIFO or open a device.

    Raises OSError if it can't be read, also for a directory, ValueError if it is another kind of
    file or larger.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(handle)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode):
            raise ValueError('expected a regular file, not a FIFO, socket or device')
        _check_size(status.st_size, limit)
        return os.fdopen(handle, 'rb')
    except BaseException:
        os.close(handle)
        raise


def read_regular(path: str | Path, limit: int) -> bytes:
    """Read a regular file of at most `limit` bytes; see `open_regular`."""
    with open_regular(path, limit) as file:
        content = file.read(limit + 1)  # a file of /proc has more bytes than it states
    _check_size(len(content), limit)
    return content


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise ValueError(f'{size} bytes, expected at most {limit}')


def absolute_path(path: str | Path) -> Path:
    """Return the absolute path of a file that a user names; a leading `~` is a home directory."""
    return Path(os.path.expanduser(path)).absolute()


def check_output(path: Path | None, suffix: str) -> None:
    """Raise OSError or ValueError if an output file can't be written; call before long work."""
    if path is None:
        return
    if path.suffix != suffix:
        raise ValueError(f'{path}: expected a name that ends in {suffix}')
    if not os.access(path.parent, os.W_OK | os.X_OK) or path.is_dir():
        raise FileNotFoundError(f'{path}: no such folder, or it is not writable')


def write_atomically(path: Path, content: bytes) -> None:
    """
    Write a file atomically: an interruption leaves the old file or none, never a part of the new.

    Raises OSError, also if the disk is full.
    """
    import tempfile  # a tenth of the time of starting a node, which writes no file

    path = Path(path)
    handle, temporary = tempfile.mkstemp(prefix=f'.{path.name}.', dir=path.parent)
    try:
        with os.fdopen(handle, 'wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp's files are private
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
