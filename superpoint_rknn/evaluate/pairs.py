"""Pairs of views of a scene with a known homography between them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from superpoint_rknn.features.resize import ImageTransform

# Heights and widths [px]
VIEW_SIZE = (400, 640)
SCENE_SIZE = (600, 960)

MAX_ROTATION = 25.0  # [degrees] either way
ZOOM = (0.75, 1.2)  # pixels of the scene per pixel of the view
MAX_SHIFT = 20.0  # [px of the scene] along either axis
MAX_CORNER_SHIFT = 50.0  # [px of the scene] of each corner by itself, along either axis

GAMMA = (0.6, 1.6)
GAIN = (0.7, 1.1)
OFFSET = (-0.05, 0.1)  # grey values count from 0 to 1
NOISE = (0.0, 0.03)  # standard deviation


@dataclass(frozen=True)
class Scene:
    """A picture from which views are made."""

    name: str
    number: int  # part of the random seed, so that scenes have different warps
    image: np.ndarray  # SCENE_SIZE, uint8 grey


@dataclass(frozen=True)
class Pair:
    """Two images, (height, width) uint8 grey, and the homography (3, 3) from first to second."""

    first: np.ndarray
    second: np.ndarray
    homography: np.ndarray


def resize_and_crop(image: np.ndarray, size: tuple[int, int] = SCENE_SIZE) -> np.ndarray:
    """Resize a grey image to cover `size` (height, width) and cut out its middle."""
    height, width = size
    scale = max(height / image.shape[0], width / image.shape[1])
    if scale != 1:
        rows = max(height, round(scale * image.shape[0]))
        cols = max(width, round(scale * image.shape[1]))
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        image = cv2.resize(image, (cols, rows), interpolation=method)
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return np.ascontiguousarray(image[top : top + height, left : left + width])


def first_view(scene: np.ndarray) -> np.ndarray:
    """Middle of a scene, VIEW_SIZE."""
    top, left = _margin(0), _margin(1)
    return np.ascontiguousarray(scene[top : top + VIEW_SIZE[0], left : left + VIEW_SIZE[1]])


def make_pair(scene: Scene, seed: int) -> Pair:
    """First view of a scene and a random warp in other light; deterministic in scene and seed."""
    rng = np.random.default_rng([seed, scene.number])
    to_view = cv2.getPerspectiveTransform(random_quad(rng), corners(VIEW_SIZE))
    warped = cv2.warpPerspective(
        scene.image,
        to_view,
        VIEW_SIZE[::-1],
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,  # at most half a pixel: quads lie inside the scene
    )
    to_scene = np.array([[1, 0, _margin(1)], [0, 1, _margin(0)], [0, 0, 1]], np.float64)
    homography = to_view @ to_scene
    return Pair(
        first_view(scene.image),
        change_light(warped, rng),
        homography / homography[2, 2],
    )


def random_quad(rng: np.random.Generator) -> np.ndarray:
    """
    Corners of the part of a scene that a view shows, clockwise from the top left, (4, 2) float32.

    A rectangle around the middle of the scene is rotated, scaled and shifted; then each corner is
    moved on its own and clipped to the scene.
    """
    angle = rng.uniform(-MAX_ROTATION, MAX_ROTATION)
    quad = rectangle(rng.uniform(*ZOOM), angle)
    quad += rng.uniform(-MAX_SHIFT, MAX_SHIFT, 2)
    quad += rng.uniform(-MAX_CORNER_SHIFT, MAX_CORNER_SHIFT, (4, 2))
    ends = corners(SCENE_SIZE)
    return np.clip(quad, ends[0], ends[2]).astype(np.float32)


def rectangle(scale: float, angle: float = 0.0) -> np.ndarray:
    """
    Corners of a view of the middle of a scene, clockwise from the top left, (4, 2).

    scale: pixels of the scene per pixel of the view. angle: rotation [degrees].
    """
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    rotation = np.array([[cos, -sin], [sin, cos]])
    return (corners(VIEW_SIZE) - centre(VIEW_SIZE)) * scale @ rotation.T + centre(SCENE_SIZE)


def change_light(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Apply random gamma, gain, offset and noise to an image (uint8)."""
    grey = (image / np.float32(255)) ** rng.uniform(*GAMMA) * rng.uniform(*GAIN)
    grey += rng.uniform(*OFFSET)
    grey += rng.normal(0, rng.uniform(*NOISE), image.shape)
    return np.clip(np.rint(255 * grey), 0, 255).astype(np.uint8)


def stretched_pair(first: np.ndarray, second: np.ndarray, homography: np.ndarray) -> Pair:
    """Pair of real images, stretched to VIEW_SIZE with the homography between them."""
    to_views = []
    for image in (first, second):
        s_x, s_y = ImageTransform.fit('stretch', image.shape, VIEW_SIZE).scale
        to_views.append(
            np.array([[1 / s_x, 0, 0.5 / s_x - 0.5], [0, 1 / s_y, 0.5 / s_y - 0.5], [0, 0, 1]])
        )
    homography = to_views[1] @ homography @ np.linalg.inv(to_views[0])
    first, second = (
        cv2.resize(image, VIEW_SIZE[::-1], interpolation=cv2.INTER_AREA)
        for image in (first, second)
    )
    return Pair(first, second, homography / homography[2, 2])


def _margin(axis: int) -> int:
    """Pixels of the scene before its first view, along an axis."""
    return (SCENE_SIZE[axis] - VIEW_SIZE[axis]) // 2


def centre(size: tuple[int, int]) -> np.ndarray:
    return (np.array(size[::-1]) - 1) / 2


def corners(size: tuple[int, int]) -> np.ndarray:
    """Outer corners of an image, clockwise from the top left; pixel centres are integers."""
    right, bottom = size[1] - 0.5, size[0] - 0.5
    return np.array([[-0.5, -0.5], [right, -0.5], [right, bottom], [-0.5, bottom]], np.float32)
