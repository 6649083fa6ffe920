"""Pairs of views: which places correspond, and where a corner is to a fraction of a pixel."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from superpoint_rknn.features.refine import MARGIN, refine

REFINEMENTS = 3


@dataclass(frozen=True)
class Views:
    """
    Two square views of side S of one or more layers: pictures, each with its own homography.

    Pixel centres are integers. Layers have the numbers 1, 2, ...; 0 is outside the pictures.
    """

    images: np.ndarray  # (2, S, S) uint8
    clean: np.ndarray  # (2, S, S) uint8, the same without changes of light, blur and noise
    layers: np.ndarray  # (2, S, S) uint8, number of the layer that each pixel shows
    corners: list[np.ndarray]  # of each view, (N, 2) x and y [px], row by row the same corner
    corner_layers: np.ndarray  # (N,) numbers of the layers that the corners belong to
    homographies: list[np.ndarray]  # of each layer, (3, 3) from the first view to the second

    @property
    def side(self) -> int:
        """Side of the views [px]."""
        return self.images.shape[1]

    def layer_at(self, view: int, points: np.ndarray) -> np.ndarray:
        """Layers that a view shows at points (N, 2), (N,); 0 outside."""
        x, y = np.clip(np.rint(points), 0, self.side - 1).astype(int).T
        return np.where(inside(points, self.side), self.layers[view][y, x], 0)

    def across(self, view: int, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places of points (N, 2) of a view in the other view, and whether both show them."""
        layer = self.layer_at(view, points)
        there = np.full(points.shape, -1.0)
        for number, homography in enumerate(self.homographies, 1):
            of_layer = layer == number
            to_other = np.linalg.inv(homography) if view else homography
            there[of_layer] = warp(to_other, points[of_layer])
        return there, (layer > 0) & (self.layer_at(1 - view, there) == layer)

    def shared(self, view: int) -> np.ndarray:
        """Mask (S, S) uint8 of the pixels of a view that the other view shows, too."""
        shown = self.layers[view]
        other = self.warped(view, self.layers[1 - view], nearest=True)
        return ((shown > 0) & (other == shown)).astype(np.uint8)

    def warped(self, view: int, values: np.ndarray, nearest: bool = False) -> np.ndarray:
        """Values (S, S) of the other view, warped layer by layer to a view; 0 outside."""
        found = np.zeros_like(values)
        way = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
        for number, homography in enumerate(self.homographies, 1):
            to_view = homography if view else np.linalg.inv(homography)
            of_layer = cv2.warpPerspective(values, to_view, values.shape, flags=way)
            found = np.where(self.layers[view] == number, of_layer, found)
        return found

    def refined(self, view: int, points: np.ndarray) -> np.ndarray:
        """
        Move points (N, 2) of a view to the corners of its clean image.

        The step of `detector.refine`, repeated: its fixed point does not depend on the start.
        """
        image = cv2.copyMakeBorder(self.clean[view], *[MARGIN] * 4, cv2.BORDER_REFLECT)
        x, y = (points + MARGIN).astype(np.float32).T
        for _ in range(REFINEMENTS):
            x, y = refine(image, x, y)
        return np.stack([x, y], axis=1) - MARGIN


def precise_places(
    views: Views, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """
    Places of corners to a fraction of a pixel: the mean of what both clean images show.

    points: (N, 2) in the first view. Returns the rows that both views show, (K,), their places in
    the first and in the second view, (K, 2), and the distance of what the images show, (K,) [px].
    """
    there, seen = views.across(0, points)
    rows = np.flatnonzero(seen)
    first, second = views.refined(0, points[rows]), views.refined(1, there[rows])
    (ahead, shown), (back, shown_too) = views.across(0, first), views.across(1, second)
    gap = (np.linalg.norm(first - back, axis=1) + np.linalg.norm(second - ahead, axis=1)) / 2
    kept = shown & shown_too
    first, second = (first + back) / 2, (second + ahead) / 2
    return rows[kept], first[kept], second[kept], gap[kept]


def warp(homography: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply a homography (3, 3) to points (N, 2)."""
    found = np.c_[points[:, :2], np.ones(len(points))] @ homography.T
    return found[:, :2] / found[:, 2:]


def inside(points: np.ndarray, side: int, margin: float = 0.0) -> np.ndarray:
    """Mask (N,) bool of the points (N, 2) inside a square view."""
    return ((points >= margin) & (points <= side - 1 - margin)).all(1)
