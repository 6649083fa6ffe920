"""
Corner labels of photographs by homographic adaptation of a classical corner measure.

The measure (the smaller eigenvalue of the structure tensor, relative to the local contrast) is
averaged over random affine warps with noise, so that repeatable corners remain.
Homographic adaptation: DeTone et al., SuperPoint, 2018, section 5.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from superpoint_rknn.files import write_atomically
from superpoint_rknn.progress import tqdm
from training.data import CACHE, Picture

LONGEST = 1280  # [px] maximum side of a picture; larger ones are reduced
LEVEL = 0.62  # scale between consecutive pyramid levels
SHORTEST = 180  # [px] minimum side of a level
WARPS = 8
NMS_RADIUS = 4  # [px]
CELL = 128  # [px] side of a cell with a limited number of corners
AREA = 200.0  # [px^2] of a cell for each corner
WEAKEST = 0.08  # minimum score


def levels(picture: Picture) -> list[np.ndarray]:
    """Image pyramid of a picture, grey."""
    image = picture.grey()
    scale = min(1.0, LONGEST / max(image.shape))
    found = []
    while True:
        if scale < 1:
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        if found and min(image.shape) < SHORTEST:
            return found
        found.append(np.ascontiguousarray(image))
        scale = LEVEL


@dataclass(frozen=True)
class LabelledImage:
    """One pyramid level of a picture with its corners."""

    grey: np.ndarray  # (H, W) uint8
    corners: np.ndarray  # (N, 2) float32 x and y [px]
    package: str  # of the picture


def provenance(pictures: Sequence[Picture]) -> str:
    """Hash of the pictures and of this file, which labels them."""
    key = hashlib.sha256(Path(__file__).read_bytes())
    key.update(''.join(picture.sha256 for picture in pictures).encode())
    return key.hexdigest()[:16]


def labelled(pictures: Sequence[Picture]) -> list[LabelledImage]:
    """All levels of the pictures with their corners; labels are cached."""
    path = CACHE / f'labels_{provenance(pictures)}.npz'
    with ThreadPoolExecutor(2) as pool:
        shown = list(pool.map(levels, pictures))
        images = [image for found in shown for image in found]
        if not path.is_file():
            jobs = pool.map(corners, images, range(len(images)))
            found = list(tqdm(jobs, 'labelling corners', len(images), unit='image'))
            content = io.BytesIO()
            np.savez(content, **{str(i): points for i, points in enumerate(found)})
            write_atomically(path, content.getbuffer())
    packages = [p.package for p, found in zip(pictures, shown, strict=True) for _ in found]
    with np.load(path, allow_pickle=False) as stored:
        return [
            LabelledImage(image, stored[str(i)], package)
            for i, (image, package) in enumerate(zip(images, packages, strict=True))
        ]


def corners(image: np.ndarray, seed: int) -> np.ndarray:
    """Corners of a grey image, (N, 2) float32 x and y [px]; deterministic in the seed."""
    rng = np.random.default_rng(seed)
    height, width = image.shape
    image = image.astype(np.float32)
    sums = np.zeros((4, height, width), np.float32)
    for number in range(WARPS):
        warp, size = (np.eye(2, 3), (width, height)) if number == 0 else _random_warp(rng, image)
        seen = cv2.warpAffine(image, warp, size, borderMode=cv2.BORDER_REFLECT)
        if number:
            seen = _disturbed(seen, rng)
        strength, relative = corner_measure(seen)
        found = (relative == _maxima(relative)) & (strength > 1.2)
        votes = cv2.GaussianBlur(found * np.clip(relative, 0, 1), (0, 0), 1.0) * 6.28
        back = cv2.invertAffineTransform(warp)
        for total, values in zip(
            sums, (relative, votes, strength, np.ones_like(seen)), strict=True
        ):
            total += cv2.warpAffine(values, back, (width, height), flags=cv2.INTER_LINEAR)
    relative, votes, strength = sums[:3] / np.maximum(sums[3], 1)
    score = cv2.GaussianBlur(0.3 * relative + votes, (0, 0), 0.7)
    found = (score == _maxima(score)) & (strength > 1.0) & (score > WEAKEST)
    found[:3] = found[-3:] = found[:, :3] = found[:, -3:] = False
    y, x = np.nonzero(found)
    keep = _strongest_of_cells(x, y, score[y, x])
    return refined(score, x[keep], y[keep])


def corner_measure(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Root of the structure tensor's smaller eigenvalue, absolute and relative to contrast."""
    image = cv2.GaussianBlur(image, (0, 0), 0.8)
    x = cv2.Scharr(image, cv2.CV_32F, 1, 0) / 32
    y = cv2.Scharr(image, cv2.CV_32F, 0, 1) / 32
    xx, xy, yy = (cv2.GaussianBlur(product, (0, 0), 1.5) for product in (x * x, x * y, y * y))
    smaller = (xx + yy) / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy * xy)
    strength = np.sqrt(np.maximum(smaller, 0))
    return strength, strength / (cv2.blur(np.sqrt(xx + yy), (41, 41)) + 1.5)


def refined(score: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Refine maxima of a score to subpixels by a parabola along each axis; (N, 2) float32."""
    middle = score[y, x]
    offsets = []
    for before, after in ((score[y, x - 1], score[y, x + 1]), (score[y - 1, x], score[y + 1, x])):
        bend = np.minimum(before + after - 2 * middle, -1e-6)
        offsets.append(np.clip((before - after) / (2 * bend), -0.5, 0.5))
    return np.stack([x + offsets[0], y + offsets[1]], axis=1).astype(np.float32)


def _maxima(score: np.ndarray) -> np.ndarray:
    side = 2 * NMS_RADIUS + 1
    return cv2.dilate(score, np.ones((side, side), np.uint8))


def _random_warp(
    rng: np.random.Generator, image: np.ndarray
) -> tuple[np.ndarray, tuple[int, int]]:
    """Random affine map (2, 3) of an image, and width and height of the result."""
    height, width = image.shape
    angle = np.deg2rad(rng.uniform(-45, 45))
    scale = np.exp(rng.uniform(np.log(0.6), np.log(1.4)))
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = rotation @ np.diag([scale, scale * np.exp(rng.uniform(-0.25, 0.25))])
    ends = np.array([[0, 0], [width, 0], [width, height], [0, height]]) @ matrix.T
    size = np.ceil(np.ptp(ends, axis=0)).astype(int)
    return np.c_[matrix, -ends.min(0)], (int(size[0]), int(size[1]))


def _disturbed(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.4:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.2))
    noise = rng.standard_normal(image.shape, np.float32)
    return image + rng.normal(0, rng.uniform(0, 5)) + noise * np.float32(rng.uniform(0.5, 4))


def _strongest_of_cells(x: np.ndarray, y: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Indices of the strongest points of each cell, up to its limit."""
    cell = y // CELL * 10_000 + x // CELL
    order = np.lexsort((-score, cell))
    _, first, counts = np.unique(cell[order], return_index=True, return_counts=True)
    rank = np.arange(len(order)) - np.repeat(first, counts)
    return order[rank < CELL * CELL / AREA]
