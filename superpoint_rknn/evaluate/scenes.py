"""
The scenes of the evaluation, which no network may be trained or calibrated on.

They are listed in scenes.json, each by the hash of its file, and by that of its grey
values as model cards list calibration images; `other_views` show the same places once more.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import cv2
import numpy as np

from superpoint_rknn.evaluate.pairs import Pair, Scene, covering, stretched_pair
from superpoint_rknn.fetch.archive import sha256_of
from superpoint_rknn.fetch.fetch import cache_folder
from superpoint_rknn.sources.open import open_source, thinned

LIST = Path(__file__).with_suffix('.json')
OPENCV, SKIMAGE = 'opencv-doc', 'scikit-image'
MOST_SCENES = 500  # of a folder of one's own, 0.6 MB each
INSTALLED = Path('/usr/share/doc/opencv-doc/examples')  # by Debian's opencv-doc
HOW_TO_GET = {
    OPENCV: 'superpoint_rknn evaluate --fetch',
    SKIMAGE: 'pip install --no-deps scikit-image',
}


@dataclass(frozen=True)
class SceneFile:
    """A file of a package that brings scenes."""

    package: str
    path: str  # within the package's folder of pictures
    sha256: str

    def locate(self) -> Path | None:
        """Where this file lies; None if it is nowhere, or only with another content."""
        for folder in folders(self.package):
            path = folder / self.path
            if path.is_file() and sha256_of(path) == self.sha256:
                return path
        return None


@dataclass(frozen=True)
class Material:
    """What an evaluation runs on."""

    scenes: list[Scene]
    real_pair: Pair | None = None
    missing: tuple[str, ...] = ()  # scenes of the protocol that were not found


def scene_files(section: str = 'scenes') -> list[SceneFile]:
    """Files that the list names: 'scenes', 'real_pair' or 'other_views'."""
    entries = json.loads(LIST.read_text(encoding='utf-8'))[section]
    return [SceneFile(entry['package'], entry['path'], entry['sha256']) for entry in entries]


def folders(package: str) -> list[Path]:
    """Folders that may hold a package's pictures."""
    if package == OPENCV:
        return [INSTALLED, cache_folder(OPENCV)]
    # Found without an import: the pictures are needed, not the library.
    spec = importlib.util.find_spec('skimage')
    return [Path(place, 'data') for place in spec.submodule_search_locations] if spec else []


def protocol_material(allow_missing: bool = False) -> Material:
    """
    The scenes of the protocol, and the real pair.

    Raises FileNotFoundError with the files that are missing and how to get them, unless
    `allow_missing`, or if there is none at all.
    """
    files, real = scene_files(), scene_files('real_pair')
    found = {file: file.locate() for file in (*files, *real)}
    missing = [file for file, path in found.items() if path is None]
    if missing and (not allow_missing or not any(found[file] for file in files)):
        raise FileNotFoundError(_how_to_get(missing))
    scenes = [
        Scene(Path(file.path).stem, number, covering(_grey(found[file])))
        for number, file in enumerate(files)
        if found[file]
    ]
    pair = _real_pair(*(found[file] for file in real)) if all(map(found.get, real)) else None
    return Material(scenes, pair, tuple(file.path for file in missing))


def own_material(sources: list[Path]) -> Material:
    """
    Scenes from pictures, or folders of them, MOST_SCENES of each at most, evenly spread.

    Raises what open_source and reading raise.
    """
    frames = chain.from_iterable(thinned(open_source(path), MOST_SCENES) for path in sources)
    return Material(
        [Scene(frame.name, number, covering(frame.grey())) for number, frame in enumerate(frames)]
    )


def _how_to_get(missing: list[SceneFile]) -> str:
    parts = []
    for package, command in HOW_TO_GET.items():
        paths = [file.path for file in missing if file.package == package]
        if paths:
            parts.append(f'{", ".join(paths)} of {package}, which `{command}` brings')
    return (
        f'scenes are missing, or differ from those of the protocol: {"; ".join(parts)}. '
        'Figures without them do not compare; --allow-missing goes on nevertheless'
    )


def _grey(path: Path) -> np.ndarray:
    (frame,) = open_source(path)
    return frame.grey()


def _real_pair(first: Path, second: Path, homography: Path) -> Pair:
    storage = cv2.FileStorage(str(homography), cv2.FILE_STORAGE_READ)
    try:
        matrix = storage.getFirstTopLevelNode().mat()
    finally:
        storage.release()
    return stretched_pair(_grey(first), _grey(second), matrix)
