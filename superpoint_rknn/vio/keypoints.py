"""Keypoints of all images of a recording; those of rendered sequences are cached on disk."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np

import superpoint_rknn
from superpoint_rknn.extractor import Extractor, Settings
from superpoint_rknn.features.keypoints import DetectorSettings, Keypoints
from superpoint_rknn.fetch.fetch import cache_folder
from superpoint_rknn.files import write_atomically
from superpoint_rknn.quantize.calibration import Progress
from superpoint_rknn.runtimes.model_files import find_model
from superpoint_rknn.runtimes.open import open_runtime
from superpoint_rknn.vio.recordings import Recording

DETECTOR = DetectorSettings(grid=(5, 8))  # as in config/mono_30hz.yaml
SOURCES = (  # code that defines the keypoints; that in C has to do the same
    'extractor.py',
    *(f'features/{n}.py' for n in ('keypoints', 'quantization', 'resize', 'subpixel', 'top_k')),
)


def keypoints_of(
    recording: Recording, model: str, cache: Path | None = None, progress: Progress = iter
) -> list[Keypoints]:
    """
    Detect the keypoints of all images.

    model: name or file, see find_model. cache: folder; None: the user's.
    Raises what open_runtime, Extractor.detect and reading the images raise.
    """
    path = find_model(model, None)
    if recording.sequence is None:
        return _detect(recording, path, progress)
    file = (cache or cache_folder('vio')) / f'{recording.name}-{path.stem}.npz'
    key = _key(recording.sequence.images, path)
    found = _read(file, key)
    if found is None:
        found = _detect(recording, path, progress)
        file.parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        rows = np.concatenate([np.stack([k.x, k.y, k.score], axis=1) for k in found])
        np.savez(content, key=key, counts=[len(k.x) for k in found], rows=rows)
        write_atomically(file, content.getvalue())
    return found


def _detect(recording: Recording, model: Path, progress: Progress) -> list[Keypoints]:
    runtime = open_runtime(model)
    try:
        extractor = Extractor(runtime, Settings(DETECTOR))
        return [extractor.detect(image).keypoints for _, image in progress(recording.images())]
    finally:
        runtime.close()


def _key(images: np.ndarray, model: Path) -> str:
    """Hash of all that the keypoints depend on, without libraries."""
    digest = hashlib.sha256(repr(asdict(DETECTOR)).encode())
    package = Path(superpoint_rknn.__file__).parent
    for file in (*(package / source for source in SOURCES), model):
        digest.update(file.read_bytes())
    digest.update(images.tobytes())
    return digest.hexdigest()


def _read(path: Path, key: str) -> list[Keypoints] | None:
    """Read keypoints from the cache; None if there are none, of another key, or damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            if stored['key'] != key:
                return None
            parts = np.split(stored['rows'], np.cumsum(stored['counts'])[:-1])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):  # detected again
        return None
    return [Keypoints(*(part[:, i].copy() for i in range(3))) for part in parts]
