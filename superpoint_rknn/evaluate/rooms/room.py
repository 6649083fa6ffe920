"""A room with posters on its walls and on panels that stand in it, and its views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from superpoint_rknn.evaluate.rooms import camera

HALF_SIZE = np.array([4.0, 3.0, 1.6])  # of the room [m]; x, y, z; the origin is its middle
RESOLUTION = 160  # pixels of a texture per metre
MARGIN = 4  # [px] between textures, which bilinear interpolation may read
FAR = (2.5, 5.0)  # [m] depths between which the texture of half resolution takes over
AXES = ((1, 2), (0, 2), (0, 1))  # across and up, of a plane by its normal axis
POSTER_SIDE = (0.7, 1.7)  # [m]
CEILING_SHARE = 0.35  # of the posters of a wall, for ceiling and floor
PANEL_DENSITY = 3.0  # posters per square metre


@dataclass(frozen=True)
class Plane:
    """Rectangle with its normal along an axis; middle and half size in the world [m]."""

    axis: int
    middle: np.ndarray  # (3,)
    half: np.ndarray  # (3,); 0 along the axis
    is_wall: bool  # one of the six sides of the room

    @property
    def texture_size(self) -> tuple[int, int]:
        """Height and width of its texture [px]."""
        across, up = AXES[self.axis]
        return int(2 * self.half[up] * RESOLUTION), int(2 * self.half[across] * RESOLUTION)


def _planes() -> list[Plane]:
    walls = []
    for axis in range(3):
        normal = np.arange(3) == axis
        for side in (-1, 1):
            middle = np.where(normal, side * HALF_SIZE, 0.0)
            walls.append(Plane(axis, middle, np.where(normal, 0, HALF_SIZE), True))
    panels = [
        Plane(0, np.array([2.4, 1.6, -0.4]), np.array([0, 0.6, 0.5]), False),
        Plane(1, np.array([-1.6, -1.9, -0.2]), np.array([0.7, 0, 0.6]), False),
        Plane(0, np.array([-2.7, 1.3, 0.1]), np.array([0, 0.5, 0.5]), False),
    ]
    return walls + panels


PLANES = _planes()
FLOOR = 4  # index in PLANES


class Room:
    """
    Room with textures; deterministic in pictures and seed.

    pictures: of the posters, (height, width) uint8 each. density: posters per square metre of a
    wall.
    """

    def __init__(self, pictures: Sequence[np.ndarray], seed: int, density: float):
        rng = np.random.default_rng(seed)
        textures = []
        for number, plane in enumerate(PLANES):
            share = density if plane.is_wall else PANEL_DENSITY
            if plane.axis == 2:
                share *= CEILING_SHARE
            tiles = number == FLOOR
            textures.append(_texture(rng, pictures, plane.texture_size, share, tiles))
        width = max(texture.shape[1] for texture in textures) + 2 * MARGIN
        rows = [
            cv2.copyMakeBorder(
                *(texture, MARGIN, MARGIN, MARGIN, width - MARGIN - texture.shape[1]),
                borderType=cv2.BORDER_REPLICATE,
            )
            for texture in textures
        ]
        heights = np.array([len(row) for row in rows])
        # Row of the atlas at which the texture of each plane begins
        self._tops = (np.cumsum(heights) - heights + MARGIN).astype(np.float32)
        self._atlas = np.concatenate(rows).astype(np.float32)
        self._half_atlas = cv2.resize(
            self._atlas, (width // 2, int(heights.sum()) // 2), interpolation=cv2.INTER_AREA
        )
        self._rays = camera.all_rays()
        self._vignette = camera.vignette()

    def render(self, pose: np.ndarray) -> np.ndarray:
        """Return the view of the camera at a pose, camera to world (4, 4), SIZE float32 grey."""
        rays = (self._rays @ pose[:3, :3].T).astype(np.float32)
        depths, planes = cast(pose[:3, 3], rays)
        points = pose[:3, 3].astype(np.float32) + depths[:, None] * rays
        u, v = np.empty_like(depths), np.empty_like(depths)
        for number, plane in enumerate(PLANES):
            rows = np.flatnonzero(planes == number)
            across, up = AXES[plane.axis]
            left = (plane.middle - plane.half)[across]
            top = (plane.middle + plane.half)[up]
            u[rows] = (points[rows, across] - left) * RESOLUTION - 0.5 + MARGIN
            v[rows] = (top - points[rows, up]) * RESOLUTION - 0.5 + self._tops[number]
        u, v, depths = (values.reshape(camera.SIZE) for values in (u, v, depths))
        near = cv2.remap(self._atlas, u, v, cv2.INTER_LINEAR)
        s_y, s_x = np.divide(self._half_atlas.shape, self._atlas.shape).astype(np.float32)
        far = cv2.remap(
            self._half_atlas, (u + 0.5) * s_x - 0.5, (v + 0.5) * s_y - 0.5, cv2.INTER_LINEAR
        )
        share = np.clip((depths - FAR[0]) / (FAR[1] - FAR[0]), 0, 1)
        return (near * (1 - share) + far * share) * self._vignette


def cast(origin: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    Intersect rays with the planes of the room.

    origin: (3,) a point inside the room [m]. rays: (N, 3) directions in the world.
    Returns the factor of each ray up to the nearest plane, (N,), and the plane's index, (N,).
    """
    depths = np.full(len(rays), np.inf, rays.dtype)
    planes = np.full(len(rays), -1, np.int8)
    for number, plane in enumerate(PLANES):
        along = rays[:, plane.axis]
        with np.errstate(divide='ignore'):
            depth = (plane.middle[plane.axis] - origin[plane.axis]).astype(rays.dtype) / along
        hit = (depth > 0) & (depth < depths)
        rows = np.flatnonzero(hit)
        if not plane.is_wall:  # the nearest wall is hit inside: the room is convex
            for axis in AXES[plane.axis]:
                place = origin[axis] + depth[rows] * rays[rows, axis]
                rows = rows[np.abs(place - plane.middle[axis]) < plane.half[axis]]
        depths[rows], planes[rows] = depth[rows], number
    return depths, planes


def _texture(
    rng: np.random.Generator,
    pictures: Sequence[np.ndarray],
    size: tuple[int, int],
    density: float,
    has_tiles: bool,
) -> np.ndarray:
    """Paint, smooth brightness and fine grain; on it tiles or not, and posters; size uint8."""
    height, width = size
    shades = rng.normal(0, 1, (6, 10)).astype(np.float32)
    coarse = cv2.resize(shades, (width, height), interpolation=cv2.INTER_CUBIC)
    grain = cv2.GaussianBlur(rng.normal(0, 1, size).astype(np.float32), (0, 0), 2)
    wall: np.ndarray = 150 + 12 * coarse + 1.5 * grain / grain.std()
    if has_tiles:
        picture = pictures[int(rng.integers(len(pictures)))]
        tile = cv2.resize(picture, (512, 512)).astype(np.float32)
        tiled = np.tile(tile, (height // 512 + 1, width // 512 + 1))[:height, :width]
        wall = 50 + 0.55 * tiled + 10 * coarse
    for _ in range(int(density * height * width / RESOLUTION**2)):
        _put(wall, _poster(rng, pictures), rng)
    return np.clip(wall, 0, 255).astype(np.uint8)


def _poster(rng: np.random.Generator, pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Square part of a picture, turned, maybe mirrored, stretched and darkened, float32."""
    picture = pictures[int(rng.integers(len(pictures)))]
    side = min(picture.shape)
    top, left = (rng.integers(0, length - side + 1) for length in picture.shape)
    part = np.rot90(picture[top : top + side, left : left + side], int(rng.integers(4)))
    if rng.random() < 0.5:
        part = part[:, ::-1]
    width = int(rng.uniform(*POSTER_SIDE) * RESOLUTION)
    height = int(width * rng.uniform(0.7, 1.3))
    part = cv2.resize(
        np.ascontiguousarray(part), (width, height), interpolation=cv2.INTER_AREA
    ).astype(np.float32)
    return part * np.float32(rng.uniform(0.7, 1.05))


def _put(wall: np.ndarray, poster: np.ndarray, rng: np.random.Generator) -> None:
    """Put a poster at a random place of a wall; up to a third of it may be cut off."""
    spans = []
    for length, whole in zip(poster.shape, wall.shape, strict=True):
        start = int(rng.integers(-length // 3, whole - length * 2 // 3))
        spans.append((max(start, 0), min(start + length, whole), start))
    (top, bottom, y), (left, right, x) = spans
    wall[top:bottom, left:right] = poster[top - y : bottom - y, left - x : right - x]
