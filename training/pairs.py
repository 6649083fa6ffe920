"""Random pairs of views of a picture, or of a picture in front of another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from training.labels import LabelledImage
from training.light import change_light
from training.shapes import random_shapes
from training.views import Views, inside, warp

SHAPES = 0.08  # share of planes with drawn shapes instead of a photograph
FEWEST = 15  # corners visible in both views
COVERED = 0.6  # minimum share of a view that the picture covers

ROTATION = 0.55  # [rad] maximum between the views
ANY_ROTATION = 0.25  # share of pairs with an arbitrary rotation
ZOOM = 2.0  # maximum between the views, either way
SCALES = (0.55, 1.35)  # pixels of the picture per pixel of a view, geometric mean of both views
SHIFT = 0.1  # maximum between the views, relative to the side
CORNER_SHIFTS = (0.05, 0.16)  # maximum, of the first and second view, relative to the side

PARALLAX = 0.4  # share of pairs with a second picture in front of the first
FRONT = (0.15, 0.6)  # share of the first view that the picture in front covers
FRONT_SHIFT = 0.15  # maximum, beyond the motion of the background, relative to the side
FRONT_ZOOM = 1.12  # the same, either way


@dataclass(frozen=True)
class Plane:
    """Two views of one picture."""

    images: np.ndarray  # (2, S, S) uint8
    seen: np.ndarray  # (2, S, S) uint8, 1 where the view shows this picture
    corners: list[np.ndarray]  # of each view, (N, 2) x and y [px], row by row the same corner
    homography: np.ndarray  # (3, 3) from the first view to the second

    @property
    def is_good(self) -> bool:
        """Whether both views show enough of the picture and of its corners."""
        both = np.logical_and(*(inside(p, self.images.shape[1]) for p in self.corners))
        return both.sum() >= FEWEST and self.seen.mean((1, 2)).min() >= COVERED


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
        has_parallax = rng.random() < PARALLAX
        planes = [self._plane(rng, rng.random() if has_parallax else 1.0)]
        if has_parallax:
            homography = front_motion(self.side, rng) @ planes[0].homography
            planes.append(in_front(self._plane(rng, 1.0, homography), rng))
        return composed(planes, rng)

    def _plane(
        self, rng: np.random.Generator, amount: float, homography: np.ndarray | None = None
    ) -> Plane:
        """Views of a random picture; the motion is that of a homography, or random."""
        while True:
            if rng.random() < SHAPES:
                image, corners = random_shapes(rng, int(1.6 * self.side))
            else:
                chosen = self._images[rng.choice(len(self._images), p=self._weights)]
                image, corners = chosen.grey, chosen.corners
            maps = self._maps(image.shape, amount, rng)
            if homography is not None:
                maps[1] = homography @ maps[0]
            plane = plane_of(image, corners, maps, self.side, rng.random() < 0.5)
            if plane.is_good:
                return plane

    def _maps(
        self, shape: tuple[int, ...], amount: float, rng: np.random.Generator
    ) -> list[np.ndarray]:
        """
        Random homographies from a picture to both views.

        amount: of their differences other than rotation, 0..1.
        """
        side = self.side
        margin = [min(0.42 * side, length / 2 - 2) for length in shape[::-1]]
        centre = rng.uniform(margin, np.array(shape[::-1]) - margin)
        angle = rng.uniform(-0.3, 0.3)
        turn = np.pi if rng.random() < ANY_ROTATION else ROTATION
        turn = rng.uniform(-turn, turn)
        scale = np.exp(rng.uniform(*np.log(SCALES)))
        zoom = np.exp(amount * rng.uniform(0, np.log(ZOOM)) / 2)
        shift = amount * rng.uniform(-SHIFT, SHIFT, 2) * side
        least, most = CORNER_SHIFTS
        maps = [
            self._to_view(centre, angle, scale / zoom, least, rng),
            self._to_view(centre + shift, angle + turn, scale * zoom, amount * most, rng),
        ]
        return maps if rng.random() < 0.5 else maps[::-1]

    def _to_view(self, centre, angle, scale, shift, rng) -> np.ndarray:
        """Homography (3, 3) from the picture to a view around a centre."""
        side = self.side
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * scale * side / 2
        quad = square @ rotation.T + centre + rng.uniform(-shift, shift, (4, 2)) * scale * side
        ends = np.array([[0, 0], [side - 1, 0], [side - 1, side - 1], [0, side - 1]], np.float32)
        return cv2.getPerspectiveTransform(quad.astype(np.float32), ends).astype(np.float64)


def plane_of(
    image: np.ndarray, corners: np.ndarray, maps: list[np.ndarray], side: int, dark: bool
) -> Plane:
    """Views of a picture under homographies from it; `dark` outside, or reflected."""
    border = cv2.BORDER_CONSTANT if dark else cv2.BORDER_REFLECT
    whole = np.ones_like(image)
    return Plane(
        np.stack([warp_part(image, to_view, side, cv2.INTER_LINEAR, border) for to_view in maps]),
        np.stack([warp_part(whole, to_view, side, cv2.INTER_NEAREST) for to_view in maps]),
        [warp(to_view, corners) for to_view in maps],
        maps[1] @ np.linalg.inv(maps[0]),
    )


def front_motion(side: int, rng: np.random.Generator) -> np.ndarray:
    """Random motion (3, 3) of a nearer plane in the second view: a shift, and a zoom."""
    zoom = np.exp(rng.uniform(-1, 1) * np.log(FRONT_ZOOM))
    x, y = rng.uniform(-FRONT_SHIFT, FRONT_SHIFT, 2) * side + (1 - zoom) * side / 2
    return np.array([[zoom, 0, x], [0, zoom, y], [0, 0, 1]])


def in_front(plane: Plane, rng: np.random.Generator) -> Plane:
    """Cut a random part with a smooth outline out of a plane."""
    side = plane.images.shape[1]
    noise = rng.standard_normal((int(rng.integers(4, 9)),) * 2).astype(np.float32)
    noise = cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC)
    shape = (noise > np.quantile(noise, 1 - rng.uniform(*FRONT))).astype(np.uint8)
    moved = cv2.warpPerspective(shape, plane.homography, (side, side), flags=cv2.INTER_NEAREST)
    seen = plane.seen * np.stack([shape, moved])
    return Plane(plane.images, seen, plane.corners, plane.homography)


def composed(planes: Sequence[Plane], rng: np.random.Generator) -> Views:
    """Views of planes, each in front of the previous ones, in random light."""
    clean, layers = planes[0].images.copy(), planes[0].seen.copy()
    for number, plane in enumerate(planes[1:], 2):
        in_plane = plane.seen > 0
        clean[in_plane] = plane.images[in_plane]
        layers[in_plane] = number
    return Views(
        np.stack([change_light(image, rng) for image in clean]),
        clean,
        layers,
        [np.concatenate([plane.corners[view] for plane in planes]) for view in (0, 1)],
        np.concatenate([np.full(len(p.corners[0]), n) for n, p in enumerate(planes, 1)]),
        [plane.homography for plane in planes],
    )


def warp_part(image, to_view, side: int, way, border=cv2.BORDER_CONSTANT) -> np.ndarray:
    """Warp the visible part of an image to a view; blur it before a reduction."""
    ends = shown(to_view, side)
    low = np.maximum(np.floor(ends.min(0)).astype(int) - 8, 0)
    high = np.ceil(ends.max(0)).astype(int) + 8
    part = image[low[1] : max(high[1], 0), low[0] : max(high[0], 0)]
    if not part.size:
        return np.zeros((side, side), np.uint8)
    shrinking = np.sqrt(cv2.contourArea(ends.astype(np.float32))) / side
    if way == cv2.INTER_LINEAR and shrinking > 1.2:
        part = cv2.GaussianBlur(part, (0, 0), 0.45 * shrinking)
    shift = np.array([[1, 0, low[0]], [0, 1, low[1]], [0, 0, 1]])
    return cv2.warpPerspective(part, to_view @ shift, (side, side), flags=way, borderMode=border)


def shown(to_view: np.ndarray, side: int) -> np.ndarray:
    """Corners of a view in the picture, (4, 2) [px]; to_view: homography (3, 3) to the view."""
    ends = np.array([[0, 0], [side, 0], [side, side], [0, side]])
    return warp(np.linalg.inv(to_view), ends)
