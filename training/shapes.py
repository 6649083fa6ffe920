"""Drawn shapes with exactly known corners: chessboards, polygons and stars of lines."""

from __future__ import annotations

import cv2
import numpy as np

FRACTION = 4  # fractional bits of OpenCV's drawing coordinates


def random_shapes(rng: np.random.Generator, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw shapes on a square image (uint8); returns also their corners, (N, 2) float32 [px]."""
    ground = int(rng.integers(0, 256))
    patches = rng.integers(max(0, ground - 25), min(255, ground + 25) + 1, (4, 4)).astype(np.uint8)
    image = cv2.resize(patches, (side, side), interpolation=cv2.INTER_CUBIC)
    kind = rng.integers(0, 4)
    corners = _chessboard(image, rng) if kind == 0 else _scatter(image, ground, kind == 3, rng)
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.2))
    return image, np.array(corners, np.float32).reshape(-1, 2)


def _chessboard(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    count = int(rng.integers(4, 9))
    step = rng.uniform(18, 34)
    at = rng.uniform(20, 60, 2) + step * np.stack(np.mgrid[: count + 1, : count + 1], -1)
    dark = int(rng.integers(0, 256))
    light = (dark + int(rng.integers(60, 196))) % 256
    for i in range(count):
        for j in range(count):
            square = at[[i, i + 1, i + 1, i], [j, j, j + 1, j + 1]]
            _fill(image, square, light if (i + j) % 2 else dark)
    return at.reshape(-1, 2)


def _scatter(
    image: np.ndarray, ground: int, lines: bool, rng: np.random.Generator
) -> list[np.ndarray]:
    """Draw polygons or stars of lines that do not touch; returns their corners."""
    taken = np.zeros_like(image)
    corners: list[np.ndarray] = []
    for _ in range(rng.integers(6, 16)):
        centre = rng.uniform(15, len(image) - 15, 2)
        radius = rng.uniform(14, 55)
        count = int(rng.integers(3, 6))
        angles = np.arange(count) * 2 * np.pi / count + rng.uniform(0, 6.28)
        angles += rng.uniform(-0.3, 0.3, count)
        ends = centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        place = np.zeros_like(image)
        cv2.circle(place, centre.astype(int).tolist(), int(radius) + 6, 255, -1)
        if (place & taken).any():
            continue
        taken |= place
        colour = (ground + int(rng.integers(40, 216))) % 256
        if not lines:
            ends = centre + (ends - centre) * rng.uniform(0.6, 1, (count, 1))
            _fill(image, ends, colour)
            corners += list(ends)
            continue
        for end in ends:
            places = [_fixed(place) for place in (centre, end)]
            width = int(rng.integers(1, 4))
            cv2.line(image, *places, colour, width, cv2.LINE_AA, FRACTION)
        corners += [*ends, centre]
    return corners


def _fill(image: np.ndarray, polygon: np.ndarray, colour: int) -> None:
    cv2.fillPoly(image, [np.int32(_fixed(polygon))], colour, cv2.LINE_AA, FRACTION)


def _fixed(places: np.ndarray) -> list:
    return np.rint(places * 2**FRACTION).astype(int).tolist()
