"""Open zip files from others (.npz, .pth)."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from superpoint_rknn.files import open_regular

MAX_MEMBERS = 10_000
MAX_FILE = 1 << 28  # [bytes]
ENTRY = b'PK\x01\x02'  # at the beginning of each entry of the directory
# Errors of zipfile for damaged, encrypted and unusual files, documented and observed.
DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, struct.error),
    *(EOFError, LookupError, OSError, OverflowError, RuntimeError),
)


class DamagedArchiveError(ValueError):
    """The bytes are no valid zip file."""


@contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """
    Open a zip file; errors of reading its members in this context are DamagedArchiveError, too.

    Raises OSError if the file can't be opened, ValueError if it is no regular file or too large,
    DamagedArchiveError if it is no zip file or has more than MAX_MEMBERS members.
    """
    with open_regular(path, MAX_FILE) as file:
        try:
            # zipfile takes ten times the memory of the directory in the file.
            if file.read().count(ENTRY) > MAX_MEMBERS:
                raise DamagedArchiveError(f'more than {MAX_MEMBERS} members')
            with zipfile.ZipFile(file) as archive:
                yield archive
        except DAMAGE as error:
            raise DamagedArchiveError(str(error)) from error


def read_member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """Read a member of at most `limit` bytes. Raises ValueError if it is missing or larger."""
    try:
        member = archive.getinfo(name)
    except KeyError as error:
        raise ValueError(f'{name} is missing in the file') from error
    size = max(member.file_size, member.compress_size)  # memory of both sizes is taken
    if size > limit:
        raise ValueError(f'{name} has {size} bytes, more than {limit}')
    return archive.read(name)
