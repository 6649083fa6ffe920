"""Images of the demo: from a Debian package, from a simulated sweep or from the user."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from superpoint_rknn.evaluate.tracks import visp_images
from superpoint_rknn.sources.frame import Frame
from superpoint_rknn.sources.open import open_source

SWEEP = 'sweep'
MEMORY = 400e6  # [bytes]; larger sources are repeated instead of played backward

# CC0 or public domain, unlike some others in the wheel.
PHOTOGRAPHS = (
    ('brick.png', 'astronaut.png', 'coffee.png'),
    ('rocket.jpg', 'camera.png', 'chelsea.png'),
)
TILE = (480, 640)  # [px] height, width of a photograph on the wall
VIEW = (480, 640)  # [px] of an image of the sweep
PERIOD = 600  # [images] of one loop


def resolve(source: str) -> str:
    """
    Source to play for the argument `--source`.

    'auto' is the camera's images of visp-images-data, which are fetched if they are missing, or
    the sweep if that fails; prints which one and why.
    Raises OSError or ValueError if any other source cannot be played.
    """
    if source == 'auto':
        return _automatic_source()
    if source != SWEEP:
        open_source(source)
    return source


def _automatic_source() -> str:
    # Of the package's sequences: 218 images of a desk on which a hand moves things, with about
    # 180 points each. Castle-simu has 40 rendered images with about 90 points.
    sequence = visp_images.DESK
    try:
        source = str(visp_images.fetch_sequences() / sequence)
        open_source(source)
    except (OSError, ValueError) as error:
        print(f'demo: playing a simulated sweep, not images of a camera: {error}', file=sys.stderr)
        return SWEEP
    print(f'demo: playing {sequence} of {visp_images.PACKAGE.name}', file=sys.stderr)
    return source


def endless(source: str, memory: float = MEMORY) -> Iterator[np.ndarray]:
    """Endless grey images, (height, width) uint8, of a resolved source, forward and backward."""
    return back_and_forth(sweep if source == SWEEP else lambda: open_source(source), memory)


def back_and_forth(
    frames: Callable[[], Iterable[Frame]], memory: float = MEMORY
) -> Iterator[np.ndarray]:
    """
    Images of a sequence, alternately forward and backward, without jumps.

    A sequence of more than `memory` [bytes] is repeated forward instead.
    Raises ValueError if it is empty.
    """
    kept, size = [], 0
    for frame in frames():
        image = frame.grey()
        yield image
        size += image.nbytes
        if size <= memory:
            kept.append(image)
        else:
            kept.clear()
    if size == 0:
        raise ValueError('the source has no images')
    while True:
        if size <= memory:
            yield from kept[-2:0:-1]  # not the images at both ends, to avoid repeating them
            yield from kept
        else:
            yield from (frame.grey() for frame in frames())


def sweep() -> Iterator[Frame]:
    """Images of a camera that pans, zooms, rolls and tilts in front of a wall of photographs."""
    wall = _wall()
    view = _corners(1.0) + np.float32(VIEW[::-1]) / 2
    for index in range(PERIOD):
        to_wall = cv2.getPerspectiveTransform(view, view_corners(index, wall.shape))
        image = cv2.warpPerspective(
            wall,
            to_wall,
            VIEW[::-1],
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        )
        yield Frame(image, None, f'{SWEEP} {index}')


def view_corners(index: int, wall_size: tuple[int, int]) -> np.ndarray:
    """Corners of view `index` on a wall of size (height, width), (4, 2) float32 [px]."""
    turn = 2 * math.pi * index / PERIOD
    roll = math.radians(12) * math.sin(2 * turn)
    zoom = 1.2 + 0.2 * math.cos(3 * turn)  # at least 1: no aliasing
    rotation = np.array([[math.cos(roll), math.sin(roll)], [-math.sin(roll), math.cos(roll)]])
    corners = _corners(1 / zoom)
    tilt = 1 + 0.15 * math.sin(turn) * np.sign(corners[:, :1])  # one side is nearer
    height, width = wall_size
    centre = (
        width * (0.5 + 0.28 * math.sin(turn)),
        height * (0.5 + 0.14 * math.sin(3 * turn + 1)),
    )
    return (corners * tilt @ rotation + centre).astype(np.float32)


def _corners(scale: float) -> np.ndarray:
    height, width = VIEW
    ends = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    corners = scale / 2 * np.array(ends, np.float32) * (width, height)
    return corners.astype(np.float32)


def _wall() -> np.ndarray:
    return np.vstack([np.hstack([_tile(name) for name in row]) for row in PHOTOGRAPHS])


def _tile(name: str) -> np.ndarray:
    """Grey photograph, resized to cover TILE and cropped."""
    spec = importlib.util.find_spec('skimage')
    folder = Path(spec.submodule_search_locations[0], 'data') if spec else Path('skimage/data')
    photograph = cv2.imread(str(folder / name), cv2.IMREAD_GRAYSCALE)
    if photograph is None:
        raise ValueError(
            f'no photograph {folder / name}: install requirements/images.txt, or give --source'
        )
    rows, cols = TILE
    scale = max(rows / photograph.shape[0], cols / photograph.shape[1])
    photograph = cv2.resize(photograph, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    top, left = (photograph.shape[0] - rows) // 2, (photograph.shape[1] - cols) // 2
    return photograph[top : top + rows, left : left + cols]
