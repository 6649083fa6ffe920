"""Real images of a camera from Debian's visp-images-data (GPL-2: fetched, never copied)."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = 'visp-images-data'
# Of its sequences: a camera at rest before a desk on which a hand moves things, 218 images of
# 640x480 with about 180 points.
# Castle-simu is rendered, has 40 images and about 90 points before a plain wall.
SEQUENCE = 'mbt/cube'
INSTALLED = Path('/usr/share/visp-images-data/ViSP-images', SEQUENCE)
# Debian 12's. Other versions are vouched for by apt's own signatures alone.
SHA256 = {
    'visp-images-data_3.5.0-1_all.deb': (
        '8d78de2b5d0ff5536ae5c281b11a5011fd6e95cd717c2e0ebf38bacf57723a9d'
    ),
}
APT_OPTIONS = ['-q', '-o', 'Acquire::Retries=1', '-o', 'Acquire::http::Timeout=20']
TIMEOUT = 600  # [s] for each command


def image_folder(cache: Path) -> Path | None:
    """Folder of the images: installed, or brought by apt into `cache`; None if neither works."""
    if INSTALLED.is_dir():
        return INSTALLED
    folder = cache / PACKAGE / SEQUENCE
    if folder.is_dir():
        return folder
    try:
        _fetch(folder)
    except (OSError, subprocess.SubprocessError, tarfile.TarError, ValueError) as error:
        print(f'demo: no {PACKAGE} ({error}); playing a simulated sweep', file=sys.stderr)
        return None
    return folder


def _fetch(folder: Path) -> None:
    for program in ('apt-get', 'dpkg-deb'):
        if shutil.which(program) is None:
            raise FileNotFoundError(f'{program} not found')
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        package = _download(Path(temporary))
        images = Path(temporary, 'images')
        images.mkdir()
        extract(package, images)
        images.rename(folder)  # at once: an interrupted download leaves nothing behind


def _download(folder: Path) -> Path:
    print(f'demo: fetching {PACKAGE} (75 MB, once)', file=sys.stderr)
    command = ['apt-get', *APT_OPTIONS, 'download', PACKAGE]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT)
    if done.returncode != 0 and os.geteuid() == 0:  # a fresh machine has no package lists
        update = ['apt-get', *APT_OPTIONS, 'update']
        subprocess.run(update, capture_output=True, check=True, timeout=TIMEOUT)
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT)
    packages = list(folder.glob('*.deb'))
    if done.returncode != 0 or not packages:
        lines = done.stderr.strip().splitlines() or ['apt-get downloaded nothing']
        raise OSError(lines[-1])
    check(packages[0])
    return packages[0]


def check(package: Path) -> None:
    """Raise ValueError if a package of a version known here has other content."""
    expected = SHA256.get(package.name)
    found = hashlib.sha256(package.read_bytes()).hexdigest()
    if expected not in (None, found):
        raise ValueError(f'{package.name} has SHA-256 {found}, expected {expected}')


def extract(package: Path, folder: Path) -> None:
    """Write the sequence's images, and nothing else of the package, into `folder`."""
    command = ['dpkg-deb', '--fsys-tarfile', str(package)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as unpack:
        with tarfile.open(fileobj=unpack.stdout, mode='r|') as archive:
            for member in archive:
                path = Path(member.name)
                if member.isfile() and path.suffix == '.pgm' and path.parent.match(SEQUENCE):
                    folder.joinpath(path.name).write_bytes(archive.extractfile(member).read())
        unpack.stdout.read()  # dpkg-deb ends with an error where nobody reads on
    if unpack.returncode != 0:
        raise OSError(f'dpkg-deb could not unpack {package.name}')
    if not any(folder.iterdir()):
        raise ValueError(f'{package.name} holds no {SEQUENCE}')
