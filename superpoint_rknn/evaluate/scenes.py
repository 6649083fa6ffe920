"""
Scenes of the evaluation; no network may be trained or calibrated on them.

scenes.json lists them with the SHA-256 of the file and of the grey values, as model cards do for
calibration images. `other_views` are further pictures of the same places, `posters` further
pictures for the rendered rooms.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import cv2
import numpy as np

from superpoint_rknn.evaluate.pairs import Pair, Scene, resize_and_crop, stretched_pair
from superpoint_rknn.evaluate.stereo import StereoPair, stereo_pair
from superpoint_rknn.fetch.archive import sha256_of
from superpoint_rknn.fetch.fetch import cache_folder
from superpoint_rknn.sources.open import open_source, thinned

LIST = Path(__file__).with_suffix('.json')
OPENCV, SKIMAGE = 'opencv-doc', 'scikit-image'
# Pairs of the section 'stereo', each with left image, right image and disparity
STEREO = ('motorcycle', 'aloe')
MAX_SCENES = 500  # of a user's folder, 0.6 MB each
INSTALLED = Path('/usr/share/doc/opencv-doc/examples')  # by Debian's opencv-doc
HOW_TO_GET = {
    OPENCV: 'superpoint_rknn evaluate --fetch',
    SKIMAGE: 'pip install --no-deps scikit-image',
}


@dataclass(frozen=True)
class SceneFile:
    """A file of a package."""

    package: str
    path: str  # relative to one of `folders`
    sha256: str

    def locate(self) -> Path | None:
        """Path of this file with the expected content; None if there is none."""
        for folder in folders(self.package):
            path = folder / self.path
            if path.is_file() and sha256_of(path) == self.sha256:
                return path
        return None


@dataclass(frozen=True)
class Material:
    """Input of an evaluation."""

    scenes: list[Scene]
    real_pair: Pair | None = None
    stereo: tuple[StereoPair, ...] = ()
    missing: tuple[str, ...] = ()  # files of the protocol that were not found


def scene_files(section: str = 'scenes') -> list[SceneFile]:
    """Files of a section of scenes.json: 'scenes', 'real_pair', 'stereo', 'other_views', ..."""
    entries = json.loads(LIST.read_text(encoding='utf-8'))[section]
    return [SceneFile(entry['package'], entry['path'], entry['sha256']) for entry in entries]


def folders(package: str) -> list[Path]:
    """Folders that may hold a package's pictures."""
    if package == OPENCV:
        return [INSTALLED, cache_folder(OPENCV)]
    # Not imported: the pictures are needed, not the library and its dependencies.
    spec = importlib.util.find_spec('skimage')
    places = (spec and spec.submodule_search_locations) or []
    return [Path(place, 'data') for place in places]


def protocol_material(allow_missing: bool = False) -> Material:
    """
    Scenes of the protocol, the real pair and the stereo pairs.

    Raises FileNotFoundError, with the missing files and the commands that install them, unless
    `allow_missing`, and if no scene is found.
    """
    files, real, stereo = map(scene_files, ('scenes', 'real_pair', 'stereo'))
    found = {file: file.locate() for file in (*files, *real, *stereo)}
    missing = [file for file, path in found.items() if path is None]
    if missing and (not allow_missing or not any(found[file] for file in files)):
        raise FileNotFoundError(_how_to_get(missing))
    scenes = [
        Scene(Path(file.path).stem, number, resize_and_crop(_grey(path)))
        for number, file in enumerate(files)
        if (path := found[file])
    ]
    pair_paths = [path for file in real if (path := found[file])]
    pair = _real_pair(*pair_paths) if len(pair_paths) == len(real) else None
    stereo_pairs = []
    for index, name in enumerate(STEREO):
        paths = [path for file in stereo[3 * index : 3 * index + 3] if (path := found[file])]
        if len(paths) == 3:
            left, right, disparity = paths
            stereo_pairs.append(
                stereo_pair(name, _grey(left), _grey(right), _disparity(disparity))
            )
    return Material(scenes, pair, tuple(stereo_pairs), tuple(file.path for file in missing))


def own_material(sources: list[Path]) -> Material:
    """
    Scenes from pictures or folders of pictures; of each folder at most MAX_SCENES, evenly spread.

    Raises what open_source and reading raise.
    """
    frames = chain.from_iterable(thinned(open_source(path), MAX_SCENES) for path in sources)
    return Material(
        [
            Scene(frame.name, number, resize_and_crop(frame.grey()))
            for number, frame in enumerate(frames)
        ]
    )


def poster_pictures() -> list[np.ndarray]:
    """
    All pictures of scikit-image, (height, width) uint8 each, for the posters of rendered rooms.

    Raises FileNotFoundError, with the command that fetches them, if one is missing.
    """
    sections = ('scenes', 'other_views', 'posters')
    files = [f for section in sections for f in scene_files(section) if f.package == SKIMAGE]
    found = {file.path: file.locate() for file in files}
    if missing := [name for name, path in found.items() if path is None]:
        raise FileNotFoundError(
            f'{", ".join(missing)} of {SKIMAGE} missing: run `{HOW_TO_GET[SKIMAGE]}`'
        )
    return [_grey(path) for path in found.values() if path]


def _how_to_get(missing: list[SceneFile]) -> str:
    parts = []
    for package, command in HOW_TO_GET.items():
        paths = [file.path for file in missing if file.package == package]
        if paths:
            parts.append(f'{", ".join(paths)} of {package}: run `{command}`')
    return (
        f'scenes are missing or differ from the protocol: {"; ".join(parts)}; --allow-missing '
        'continues without them, with results that are not comparable'
    )


def _grey(path: Path) -> np.ndarray:
    (frame,) = open_source(path)
    return frame.grey()


def _disparity(path: Path) -> np.ndarray:
    """Disparity of a stereo pair, (height, width) [px]; 0 or not finite where unknown."""
    if path.suffix != '.npz':
        return _grey(path)
    with np.load(path) as arrays:  # refuses pickled objects
        return arrays['arr_0']


def _real_pair(first: Path, second: Path, homography: Path) -> Pair:
    storage = cv2.FileStorage(str(homography), cv2.FILE_STORAGE_READ)
    try:
        matrix = storage.getFirstTopLevelNode().mat()
    finally:
        storage.release()
    return stretched_pair(_grey(first), _grey(second), matrix)
