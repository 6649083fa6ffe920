"""Random pairs of views of a picture with a known homography between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from training.labels import LabelledImage
from training.shapes import random_shapes

SHAPES = 0.08  # share of pairs with drawn shapes instead of a photograph
FEWEST = 15  # corners visible in both views
COVERED = 0.6  # minimum share of a view that the picture covers
OVERLAP_MARGIN = 2.0  # [px] from the border of a view

ROTATION = 0.55  # [rad] maximum between the views
ANY_ROTATION = 0.1  # share of pairs with an arbitrary rotation
SCALES = (0.65, 1.5)  # between the views
FIRST_SCALES = (0.5, 1.25)  # pixels of the picture per pixel of the first view
CORNER_SHIFTS = (0.05, 0.12)  # maximum, of the first and second view, relative to the side


@dataclass(frozen=True)
class Views:
    """Two square views of side S."""

    images: np.ndarray  # (2, S, S) uint8
    seen: np.ndarray  # (2, S, S) uint8, 1 inside the picture
    corners: list[np.ndarray]  # of each view, (N, 2) x and y [px], row by row the same corner
    homography: np.ndarray  # (3, 3) from the first view to the second


class PairMaker:
    """
    Make random pairs of views.

    Pictures with more corners are drawn more often. The probability of a package is proportional
    to the square root of its total, because most pictures are of one kind.
    """

    def __init__(self, images: Sequence[LabelledImage], side: int):
        """Use images; side: of the views [px]."""
        counts = np.array([len(image.corners) for image in images])
        weights = np.where(counts >= 40, np.minimum(counts, 2500) ** 0.5, 0)
        _, package = np.unique([image.package for image in images], return_inverse=True)
        weights /= np.sqrt(np.maximum(np.bincount(package, weights), 1))[package]  # avoids 0 / 0
        self.side = side
        self._images = images
        self._weights = weights / weights.sum()

    def make(self, rng: np.random.Generator) -> Views:
        """Next random pair."""
        while True:
            if rng.random() < SHAPES:
                image, corners = random_shapes(rng, int(1.6 * self.side))
            else:
                chosen = self._images[rng.choice(len(self._images), p=self._weights)]
                image, corners = chosen.grey, chosen.corners
            views = self._try(image, corners, rng)
            if views:
                return views

    def _try(self, image: np.ndarray, corners: np.ndarray, rng) -> Views | None:
        side = self.side
        margin = [min(0.42 * side, length / 2 - 2) for length in image.shape[::-1]]
        centre = rng.uniform(margin, np.array(image.shape[::-1]) - margin)
        angle = rng.uniform(-0.3, 0.3)
        turn = np.pi if rng.random() < ANY_ROTATION else ROTATION
        scale = np.exp(rng.uniform(*np.log(FIRST_SCALES)))
        zoom = np.exp(rng.uniform(*np.log(SCALES)))
        maps = [
            self._to_view(centre, angle, scale, CORNER_SHIFTS[0], rng),
            self._to_view(
                centre + rng.uniform(-0.1, 0.1, 2) * side,
                angle + rng.uniform(-turn, turn),
                scale * zoom,
                CORNER_SHIFTS[1],
                rng,
            ),
        ]
        if rng.random() < 0.5:
            maps.reverse()
        points = [warp(to_view, corners) for to_view in maps]
        both = np.logical_and(*(inside(p, side) for p in points))
        whole = np.ones_like(image)
        seen = np.stack([self._warp(whole, m, cv2.INTER_NEAREST) for m in maps])
        if both.sum() < FEWEST or seen.mean((1, 2)).min() < COVERED:
            return None
        border = cv2.BORDER_CONSTANT if rng.random() < 0.5 else cv2.BORDER_REFLECT
        images = [
            change_light(self._warp(image, to_view, cv2.INTER_LINEAR, border), rng)
            for to_view in maps
        ]
        return Views(np.stack(images), seen, points, maps[1] @ np.linalg.inv(maps[0]))

    def _to_view(self, centre, angle, scale, shift, rng) -> np.ndarray:
        """Homography (3, 3) from the picture to a view around a centre."""
        side = self.side
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * scale * side / 2
        quad = square @ rotation.T + centre + rng.uniform(-shift, shift, (4, 2)) * scale * side
        ends = np.array([[0, 0], [side - 1, 0], [side - 1, side - 1], [0, side - 1]], np.float32)
        return cv2.getPerspectiveTransform(quad.astype(np.float32), ends).astype(np.float64)

    def _warp(self, image, to_view, way, border=cv2.BORDER_CONSTANT) -> np.ndarray:
        """Warp the visible part of an image to a view; blur it before a reduction."""
        side = self.side
        ends = shown(to_view, side)
        low = np.maximum(np.floor(ends.min(0)).astype(int) - 8, 0)
        high = np.ceil(ends.max(0)).astype(int) + 8
        part = image[low[1] : high[1], low[0] : high[0]]
        if not part.size:
            return np.zeros((side, side), np.uint8)
        shrinking = np.sqrt(cv2.contourArea(ends.astype(np.float32))) / side
        if way == cv2.INTER_LINEAR and shrinking > 1.2:
            part = cv2.GaussianBlur(part, (0, 0), 0.45 * shrinking)
        shift = np.array([[1, 0, low[0]], [0, 1, low[1]], [0, 0, 1]])
        return cv2.warpPerspective(
            part, to_view @ shift, (side, side), flags=way, borderMode=border
        )


def change_light(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Apply random blur, gamma, gain, offset, shading and noise to an image (uint8)."""
    grey = image.astype(np.float32) / 255
    if rng.random() < 0.3:
        grey = cv2.GaussianBlur(grey, (0, 0), rng.uniform(0.4, 1.3))
    grey = np.maximum(grey, 0) ** rng.uniform(0.55, 1.8) * rng.uniform(0.6, 1.15)
    grey += np.float32(rng.uniform(-0.08, 0.12))
    if rng.random() < 0.3:
        shading = rng.uniform(0.6, 1.2, (3, 3)).astype(np.float32)
        grey *= cv2.resize(shading, image.shape[::-1], interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.12:
        grey = cv2.filter2D(grey, -1, _motion_kernel(rng))
    grey += rng.standard_normal(grey.shape, np.float32) * np.float32(rng.uniform(0, 0.035))
    return np.rint(np.clip(grey * 255, 0, 255)).astype(np.uint8)


def _motion_kernel(rng: np.random.Generator) -> np.ndarray:
    length = int(rng.integers(3, 8))
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1
    middle = (length / 2 - 0.5, length / 2 - 0.5)
    turn = cv2.getRotationMatrix2D(middle, rng.uniform(0, 180), 1)
    kernel = cv2.warpAffine(kernel, turn, (length, length))
    return kernel / kernel.sum()


def shown(to_view: np.ndarray, side: int) -> np.ndarray:
    """Corners of a view in the picture, (4, 2) [px]; to_view: homography (3, 3) to the view."""
    ends = np.array([[0, 0], [side, 0], [side, side], [0, side]])
    return warp(np.linalg.inv(to_view), ends)


def warp(homography: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply a homography (3, 3) to points (N, 2)."""
    found = np.c_[points[:, :2], np.ones(len(points))] @ homography.T
    return found[:, :2] / found[:, 2:]


def inside(points: np.ndarray, side: int, margin: float = 0.0) -> np.ndarray:
    """Mask (N,) bool of the points (N, 2) inside a square view."""
    return ((points >= margin) & (points <= side - 1 - margin)).all(1)


def correspondences(
    views: Views, points: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """
    Corresponding points: at most three quarters near the given ones, then random ones.

    points: (N, 2) in the first view. Returns at most `count` points of each view, (K, 2) float32.
    """
    side = views.images.shape[1]
    chosen = rng.permutation(points)[: count * 3 // 4]
    chosen = chosen + rng.normal(0, 0.5, chosen.shape)
    here = np.concatenate([chosen, rng.uniform(4, side - 5, (2 * count, 2))])
    there = warp(views.homography, here)
    good = inside(here, side, OVERLAP_MARGIN) & inside(there, side, OVERLAP_MARGIN)
    for seen, places in zip(views.seen, (here, there), strict=True):
        x, y = np.clip(np.rint(places), 0, side - 1).astype(int).T
        good &= seen[y, x] > 0
    rows = np.flatnonzero(good)
    rows = np.concatenate([rows[rows < len(chosen)], rows[rows >= len(chosen)][: count // 4]])
    return here[rows].astype(np.float32), there[rows].astype(np.float32)
