"""A camera that moves through a room hung with photographs: images whose geometry is known."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

SIZE = (480, 640)  # height, width [px]
IMAGES = 60
MATRIX = np.array([[460, 0, 319.5], [0, 460, 239.5], [0, 0, 1.0]])
NOISE = 3.0  # standard deviation [grey levels]
HALF = np.array([3.0, 2.0, 5.0])  # of the room's width, height and depth, x right, y down [m]
PICTURE = (
    np.array([0.4, 0.1, 2.6]),
    0.7,
)  # that stands in the room: its middle, half its side [m]


@dataclass(frozen=True)
class Walk:
    """Images of a camera on its way, (height, width) uint8 each, and its poses, (4, 4) each."""

    images: list[np.ndarray]
    poses: list[np.ndarray]  # from the room to the camera


def walk(photographs: list[np.ndarray], images: int = IMAGES) -> Walk:
    """
    Way through a room with a photograph on each of its walls, and one that stands in it.

    photographs: six of any size, uint8 grey: left, right, ceiling, floor, the far wall, standing.
    Light changes slowly and every image has noise of its own; the same input gives the same way.
    """
    rng = np.random.default_rng(0)
    poses = [pose(number) for number in range(images)]
    shots = []
    for number, there in enumerate(poses):
        grey = view(photographs, there) * (1 + 0.15 * np.sin(number / 9))
        grey += rng.normal(0, NOISE, SIZE)
        shots.append(np.clip(np.rint(grey), 0, 255).astype(np.uint8))
    return Walk(shots, poses)


def pose(number: int) -> np.ndarray:
    """Of the camera at an image of the way, (4, 4) from the room to the camera."""
    t = number / 12
    turn, _ = cv2.Rodrigues(np.array([0.06 * np.sin(1.7 * t), 0.25 * np.sin(t), 0.08 * np.sin(t)]))
    centre = np.array([0.9 * np.sin(0.8 * t), 0.25 * np.sin(1.3 * t), 0.25 * t])
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = turn, -turn @ centre
    return result


def view(photographs: list[np.ndarray], there: np.ndarray) -> np.ndarray:
    """What the camera sees at a pose, SIZE float32 grey without noise."""
    turn, centre = there[:3, :3], -there[:3, :3].T @ there[:3, 3]
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    pixels = np.stack([x, y, np.ones(SIZE)], axis=-1)
    rays = (pixels @ (np.linalg.inv(MATRIX).T @ turn)).astype(np.float32)  # depth 1 along each
    result = np.zeros(SIZE, np.float32)
    nearest = np.full(SIZE, np.inf, np.float32)
    walls = [(0, -1), (0, 1), (1, -1), (1, 1), (2, 1)]
    for photograph, (axis, side) in zip(photographs, walls, strict=False):
        middle = np.where(np.arange(3) == axis, side * HALF, 0)
        _paint(result, nearest, photograph, rays, centre, axis, middle, HALF)
    middle, half = PICTURE
    _paint(result, nearest, photographs[5], rays, centre, 2, middle, np.full(3, half))
    return result


def _paint(
    result: np.ndarray,
    nearest: np.ndarray,
    photograph: np.ndarray,
    rays: np.ndarray,
    centre: np.ndarray,
    axis: int,
    middle: np.ndarray,
    half: np.ndarray,
) -> None:
    """Draw a photograph on the plane across `axis` where it is the nearest along the rays."""
    with np.errstate(divide='ignore', invalid='ignore', over='ignore'):
        depth = np.float32(middle[axis] - centre[axis]) / rays[..., axis]
        across, down = (a for a in ((2, 1), (0, 2), (0, 1))[axis])
        height, width = photograph.shape
        place = [
            ((centre[a] + depth * rays[..., a] - middle[a]) / half[a] + 1) / 2 * size - 0.5
            for a, size in ((across, width), (down, height))
        ]
        seen = (depth > 0) & (depth < nearest)
        for values, size in zip(place, (width, height), strict=True):
            seen &= (values >= -0.5) & (values <= size - 0.5)
    columns, rows = (np.where(seen, values, 0).astype(np.float32) for values in place)
    painted = cv2.remap(photograph, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    result[seen], nearest[seen] = painted[seen], depth[seen]
