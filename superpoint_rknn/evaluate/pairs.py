"""Pairs of views of a scene, of which it is known how one maps to the other."""

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
    """A picture that views are made of."""

    name: str
    number: int  # tells the scene's random warps from those of the others
    image: np.ndarray  # SCENE_SIZE, uint8 grey


@dataclass(frozen=True)
class Pair:
    """Two images, (height, width) uint8 grey, and the homography (3, 3) from first to second."""

    first: np.ndarray
    second: np.ndarray
    homography: np.ndarray


def covering(image: np.ndarray, size: tuple[int, int] = SCENE_SIZE) -> np.ndarray:
    """Middle of a grey image, resized so that it covers `size` (height, width)."""
    height, width = size
    scale = max(height / image.shape[0], width / image.shape[1])
    if scale != 1:
        rows = max(height, round(scale * image.shape[0]))
        cols = max(width, round(scale * image.shape[1]))
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        image = cv2.resize(image, (cols, rows), interpolation=way)
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return np.ascontiguousarray(image[top : top + height, left : left + width])


def first_view(scene: np.ndarray) -> np.ndarray:
    """The middle of a scene, VIEW_SIZE."""
    top, left = _margin(0), _margin(1)
    return np.ascontiguousarray(scene[top : top + VIEW_SIZE[0], left : left + VIEW_SIZE[1]])


def make_pair(scene: Scene, seed: int) -> Pair:
    """First view of a scene, and one of its warps under other light; the same for equal seeds."""
    rng = np.random.default_rng([seed, scene.number])
    to_view = cv2.getPerspectiveTransform(random_quad(rng), _corners(VIEW_SIZE))
    warped = cv2.warpPerspective(
        scene.image,
        to_view,
        VIEW_SIZE[::-1],
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,  # half a pixel at most: quads keep inside the scene
    )
    to_scene = np.array([[1, 0, _margin(1)], [0, 1, _margin(0)], [0, 0, 1]], np.float64)
    homography = to_view @ to_scene
    return Pair(
        first_view(scene.image),
        with_other_light(warped, rng),
        homography / homography[2, 2],
    )


def random_quad(rng: np.random.Generator) -> np.ndarray:
    """
    Part of a scene that a view shows: its corners, clockwise from the top left, (4, 2) float32.

    A rectangle around the scene's middle, rotated, scaled and shifted, whose corners then move
    each by itself, at most to the edge of the scene.
    """
    angle = np.deg2rad(rng.uniform(-MAX_ROTATION, MAX_ROTATION))
    scale = rng.uniform(*ZOOM)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    quad = (_corners(VIEW_SIZE) - _centre(VIEW_SIZE)) * scale @ rotation.T + _centre(SCENE_SIZE)
    quad += rng.uniform(-MAX_SHIFT, MAX_SHIFT, 2)
    quad += rng.uniform(-MAX_CORNER_SHIFT, MAX_CORNER_SHIFT, (4, 2))
    ends = _corners(SCENE_SIZE)
    return np.clip(quad, ends[0], ends[2]).astype(np.float32)


def with_other_light(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Image (uint8) after gamma, gain and offset, with noise added."""
    grey = (image / np.float32(255)) ** rng.uniform(*GAMMA) * rng.uniform(*GAIN)
    grey += rng.uniform(*OFFSET)
    grey += rng.normal(0, rng.uniform(*NOISE), image.shape)
    return np.clip(np.rint(255 * grey), 0, 255).astype(np.uint8)


def stretched_pair(first: np.ndarray, second: np.ndarray, homography: np.ndarray) -> Pair:
    """Pair of real images and the homography between them, both stretched to VIEW_SIZE."""
    to_views = []
    for image in (first, second):
        s_x, s_y = ImageTransform.fit('stretch', image.shape, VIEW_SIZE).scale
        to_views.append(
            np.array([[1 / s_x, 0, 0.5 / s_x - 0.5], [0, 1 / s_y, 0.5 / s_y - 0.5], [0, 0, 1]])
        )
    homography = to_views[1] @ homography @ np.linalg.inv(to_views[0])
    views = [
        cv2.resize(image, VIEW_SIZE[::-1], interpolation=cv2.INTER_AREA)
        for image in (first, second)
    ]
    return Pair(*views, homography / homography[2, 2])


def _margin(axis: int) -> int:
    """Pixels of the scene before its middle view."""
    return (SCENE_SIZE[axis] - VIEW_SIZE[axis]) // 2


def _centre(size: tuple[int, int]) -> np.ndarray:
    return (np.array(size[::-1]) - 1) / 2


def _corners(size: tuple[int, int]) -> np.ndarray:
    """Outer corners of an image, clockwise from the top left; 0 is the centre of a pixel."""
    right, bottom = size[1] - 0.5, size[0] - 0.5
    return np.array([[-0.5, -0.5], [right, -0.5], [right, bottom], [-0.5, bottom]], np.float32)
