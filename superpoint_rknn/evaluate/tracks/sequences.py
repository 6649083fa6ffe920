"""
The image sequences of `superpoint_rknn evaluate --tracks`.

Three are from Debian's visp-images-data, one is rendered from photographs.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from superpoint_rknn.evaluate.scenes import HOW_TO_GET, SKIMAGE, scene_files
from superpoint_rknn.evaluate.tracks import visp_images
from superpoint_rknn.evaluate.tracks.room import MATRIX, walk
from superpoint_rknn.evaluate.tracks.visp_images import CASTLE, DESK, POSTERS, paths, read_images
from superpoint_rknn.sources.open import open_source

ROOM = 'room'
# From CASTLE/Config/chateau.xml. The poses transform from the scene to the camera of the images.
# Checked with the depth images of the sequence, which belong to a camera 5 cm to the right
# [m = value / 32767]: projected into an image 6 to 15 later, 65 to 99 % of them are within 3 mm of
# the depth there, and grey values have a correlation of 0.98. With the camera of the depth images,
# or with inverted poses, at most 27 % are.
CASTLE_MATRIX = np.array([[700, 0, 320], [0, 700, 240], [0, 0, 1.0]])
MAX_IMAGES = 2000  # of a user's sequence, all in memory
PHOTOGRAPHS = ('brick', 'coffee', 'gravel', 'chelsea', 'motorcycle_left', 'astronaut')


@dataclass(frozen=True)
class ImageSequence:
    """Images of one camera, with camera matrix and poses where they are known."""

    name: str
    images: list[np.ndarray]  # (height, width) uint8 each
    matrix: np.ndarray | None = None  # K, (3, 3), without distortion
    poses: list[np.ndarray] | None = None  # (4, 4) each, from the scene to the camera


def protocol_sequences() -> list[ImageSequence]:
    """
    All sequences of the protocol.

    Raises FileNotFoundError, with the command that fetches it, if one is missing, ValueError if a
    file is missing or unreadable.
    """
    root = visp_images.find()
    if root is None:
        raise FileNotFoundError(
            f'{visp_images.PACKAGE.name} is missing: run '
            '`superpoint_rknn evaluate --tracks --fetch`'
        )
    recorded = [ImageSequence(name, read_images(root, name)) for name in (POSTERS, DESK)]
    return [room(), castle(root), *recorded]


def room() -> ImageSequence:
    """Room with photographs of scikit-image; FileNotFoundError if one is missing."""
    files = {Path(f.path).stem: f.locate() for f in scene_files() if f.package == SKIMAGE}
    found = [path for name in PHOTOGRAPHS if (path := files[name])]
    if len(found) < len(PHOTOGRAPHS):
        missing = [name for name in PHOTOGRAPHS if files[name] is None]
        raise FileNotFoundError(
            f'{", ".join(missing)} of {SKIMAGE} missing: run `{HOW_TO_GET[SKIMAGE]}`'
        )
    made = walk([next(iter(open_source(path))).grey() for path in found])
    return ImageSequence(ROOM, made.images, MATRIX, made.poses)


def castle(root: Path) -> ImageSequence:
    """Castle-simu below visp-images-data's folder; ValueError if a file is unreadable."""
    poses = [read_pose(path) for path in paths(root, f'{CASTLE}/CameraPose')]
    return ImageSequence(CASTLE, read_images(root, f'{CASTLE}/Images'), CASTLE_MATRIX, poses)


def own_sequence(path: Path) -> ImageSequence:
    """
    The first MAX_IMAGES of a folder, video or bag, without camera matrix and poses.

    Raises what open_source and reading raise.
    """
    frames = islice(open_source(path), MAX_IMAGES)
    return ImageSequence(path.name, [frame.grey() for frame in frames])


def read_pose(path: Path) -> np.ndarray:
    """Rigid transform, (4, 4), from a text file of 16 numbers; ValueError if it is not one."""
    values = path.read_text(encoding='ascii').split()
    pose = np.array(values, np.float64).reshape(4, 4) if len(values) == 16 else np.zeros((4, 4))
    turn = pose[:3, :3]
    if not np.allclose(turn @ turn.T, np.eye(3), atol=1e-5) or np.linalg.det(turn) < 0:
        raise ValueError(f'{path}: not a rigid transform of 4 x 4 numbers')
    return pose
