"""Read files of Debian packages and wheels, without installing or executing anything."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

MEMBER_LIMIT = 100_000_000  # [bytes] maximum size of one file in a package

Files = Iterator[tuple[str, bytes]]


def files(package: Path, wanted: Callable[[str], bool]) -> Files:
    """
    Iterate over (path, content) of the wanted files of a .deb or .whl, in archive order.

    wanted: returns True for the path of a wanted file, relative to the installation root.
    Only regular files are read: no links, no paths with `..`.
    Raises ValueError if the archive cannot be read or a file exceeds MEMBER_LIMIT,
    FileNotFoundError if dpkg-deb is missing.
    """
    members = _deb_files if package.suffix == '.deb' else _wheel_files
    return members(package, lambda path: wanted(path) and '..' not in path.split('/'))


def checked_files(package: Path, sha256: Mapping[str, str]) -> Files:
    """
    Iterate over (path, content) of files of a package, and check their SHA-256.

    sha256: path: expected SHA-256 in hexadecimal digits.
    Raises ValueError if a file is missing or has other content; otherwise as `files`.
    """
    missing = set(sha256)
    for path, content in files(package, sha256.__contains__):
        check(content, sha256[path], f'{package.name}: {path}')
        missing.discard(path)
        yield path, content
    if missing:
        raise ValueError(f'{package.name} does not contain {", ".join(sorted(missing))}')


def check(content: bytes, sha256: str, name: str) -> None:
    """Raise ValueError unless `content` has the expected SHA-256; name: for the message."""
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ValueError(f'{name} has SHA-256 {found}, expected {sha256}')


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _deb_files(package: Path, wanted: Callable[[str], bool]) -> Files:
    # Not in pure Python: tarfile does not support Zstandard, the compression of Ubuntu's packages.
    if shutil.which('dpkg-deb') is None:
        raise FileNotFoundError(
            f'dpkg-deb, which reads {package.name}, is not installed: install the package dpkg'
        )
    command = ['dpkg-deb', '--fsys-tarfile', str(package)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            with tarfile.open(fileobj=process.stdout, mode='r|') as archive:
                for member in archive:
                    path = member.name.removeprefix('./')
                    if not member.isfile() or not wanted(path):
                        continue
                    _check_size(package, path, member.size)
                    file = archive.extractfile(member)
                    assert file
                    yield path, file.read()
            process.stdout.read()  # dpkg-deb fails if its output is not read to the end
        except tarfile.ReadError as error:
            lines = process.stderr.read().decode(errors='replace').strip().splitlines()
            cause = lines[-1] if lines else error
            raise ValueError(f'{package} cannot be unpacked: {cause}') from error
    if process.returncode:
        raise ValueError(f'{package} cannot be unpacked: dpkg-deb failed')


def _wheel_files(package: Path, wanted: Callable[[str], bool]) -> Files:
    try:
        with zipfile.ZipFile(package) as archive:
            for member in archive.infolist():
                if wanted(member.filename):
                    _check_size(package, member.filename, member.file_size)
                    yield member.filename, archive.read(member)
    except zipfile.BadZipFile as error:
        raise ValueError(f'{package} cannot be unpacked: {error}') from error


def _check_size(package: Path, path: str, size: int) -> None:
    if size > MEMBER_LIMIT:
        raise ValueError(f'{package.name}: {path} has {size:,} bytes, at most {MEMBER_LIMIT:,}')
