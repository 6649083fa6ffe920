"""Rendered images of a camera that moves through a room: its poses are known exactly."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

SIZE = (480, 640)  # height, width [px]
IMAGES = 60
MATRIX = np.array([[460, 0, 319.5], [0, 460, 239.5], [0, 0, 1.0]])  # K
NOISE = 3.0  # standard deviation [grey levels]
HALF_SIZE = np.array([3.0, 2.0, 5.0])  # of the room [m]; x right, y down, z forward
# The picture that stands in the room [m].
PICTURE_CENTRE, PICTURE_HALF_SIZE = np.array([0.4, 0.1, 2.6]), 0.7


@dataclass(frozen=True)
class Walk:
    """Images of a camera, (height, width) uint8 each, and its poses, (4, 4) each."""

    images: list[np.ndarray]
    poses: list[np.ndarray]  # transforms from the room to the camera


def walk(photographs: list[np.ndarray], images: int = IMAGES) -> Walk:
    """
    Render a walk through a room with photographs on its walls and one standing in it.

    photographs: six of any size, uint8 grey: left, right, ceiling, floor, far wall, standing.
    Brightness changes slowly and every image has its own noise; deterministic.
    """
    rng = np.random.default_rng(0)
    poses = [pose(number) for number in range(images)]
    rendered = []
    for number, camera_pose in enumerate(poses):
        grey = render(photographs, camera_pose) * (1 + 0.15 * np.sin(number / 9))
        grey += rng.normal(0, NOISE, SIZE)
        rendered.append(np.clip(np.rint(grey), 0, 255).astype(np.uint8))
    return Walk(rendered, poses)


def pose(number: int) -> np.ndarray:
    """Pose of the camera at an image, (4, 4) from the room to the camera."""
    t = number / 12
    rotation, _ = cv2.Rodrigues(
        np.array([0.06 * np.sin(1.7 * t), 0.25 * np.sin(t), 0.08 * np.sin(t)])
    )
    centre = np.array([0.9 * np.sin(0.8 * t), 0.25 * np.sin(1.3 * t), 0.25 * t])
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = rotation, -rotation @ centre
    return result


def render(photographs: list[np.ndarray], camera_pose: np.ndarray) -> np.ndarray:
    """Image of the camera at a pose, SIZE float32 grey without noise."""
    rotation, centre = camera_pose[:3, :3], -camera_pose[:3, :3].T @ camera_pose[:3, 3]
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    pixels = np.stack([x, y, np.ones(SIZE)], axis=-1)
    rays = (pixels @ (np.linalg.inv(MATRIX).T @ rotation)).astype(np.float32)  # depth 1 along each
    result = np.zeros(SIZE, np.float32)
    nearest = np.full(SIZE, np.inf, np.float32)
    walls = [(0, -1), (0, 1), (1, -1), (1, 1), (2, 1)]
    for photograph, (axis, side) in zip(photographs, walls, strict=False):
        middle = np.where(np.arange(3) == axis, side * HALF_SIZE, 0)
        _draw_plane(result, nearest, photograph, rays, centre, axis, middle, HALF_SIZE)
    half = np.full(3, PICTURE_HALF_SIZE)
    _draw_plane(result, nearest, photographs[5], rays, centre, 2, PICTURE_CENTRE, half)
    return result


def _draw_plane(
    result: np.ndarray,
    nearest: np.ndarray,
    photograph: np.ndarray,
    rays: np.ndarray,
    centre: np.ndarray,
    axis: int,
    middle: np.ndarray,
    half: np.ndarray,
) -> None:
    """Draw a photograph on a plane normal to `axis`, where it is the nearest along the rays."""
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
