"""Pairs of views by kind of change: zoom, tilt, rotation, darkness, blur, low texture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial

import cv2
import numpy as np

from superpoint_rknn.evaluate.features import SETTINGS, methods_of
from superpoint_rknn.evaluate.pairs import (
    SCENE_SIZE,
    VIEW_SIZE,
    Pair,
    Scene,
    centre,
    corners,
    rectangle,
)
from superpoint_rknn.evaluate.protocol import evaluate, rows_of, versions
from superpoint_rknn.evaluate.scenes import Material
from superpoint_rknn.features.keypoints import DetectorSettings
from superpoint_rknn.quantize.calibration import Progress
from superpoint_rknn.runtimes.runtime import Runtime

WIDE = 1.44  # pixels of the scene per pixel of the wide view: nearly the whole scene
TILT = (40.0, 50.0)  # [degrees] between the two views of the picture
FOCAL_LENGTH = 960.0  # [px] of the tilted view
TILT_SCALE = 1 / 1.2  # pixels of the scene per pixel in the middle of the tilted view
TURN = (80.0, 100.0)  # [degrees] either way
TURN_SCALE = 0.8  # pixels of the scene per pixel of both views, so that any rotation fits
# The other kinds have a mild warp as well.
MILD_TURN = 10.0  # [degrees] either way
MILD_ZOOM = (0.9, 1.1)
MILD_SHIFT = 10.0  # [px of the scene] along either axis
DARK_GAIN, DARK_NOISE = 0.2, 0.02  # grey values count from 0 to 1
BLUR_RADIUS = 4  # [px] of the disc that a point becomes
FLAT_SCALE, FLAT_NOISE = 0.6, 0.01

Quads = tuple[np.ndarray, np.ndarray]  # parts of the scene that both views show, (4, 2) each


def zoom_quads(factor: float, scene: np.ndarray, rng: np.random.Generator) -> Quads:
    """A wide view, and a closer one by `factor` with a mild rotation and shift."""
    return rectangle(WIDE), mild_quad(rng, WIDE / factor, zoom=(1.0, 1.0))


def tilt_quads(scene: np.ndarray, rng: np.random.Generator) -> Quads:
    """A view from the front, and one from the left, right, top or bottom."""
    angle = np.deg2rad(rng.uniform(*TILT) * rng.choice([-1, 1]))
    along = int(rng.integers(2))  # axis with the foreshortening
    half = (corners(VIEW_SIZE) - centre(VIEW_SIZE)) * TILT_SCALE
    quad = np.empty((4, 2))
    # Rays of a camera, intersected with the plane of the picture, turned by `angle`
    quad[:, along] = (FOCAL_LENGTH * half[:, along]) / (
        FOCAL_LENGTH * np.cos(angle) - half[:, along] * np.sin(angle)
    )
    depth = FOCAL_LENGTH + quad[:, along] * np.sin(angle)
    quad[:, 1 - along] = half[:, 1 - along] * depth / FOCAL_LENGTH
    middle = (quad.min(0) + quad.max(0)) / 2
    return rectangle(1.0), quad - middle + centre(SCENE_SIZE)


def turn_quads(scene: np.ndarray, rng: np.random.Generator) -> Quads:
    """A view, and another one rotated by about 90 degrees."""
    angle = rng.uniform(*TURN) * rng.choice([-1, 1])
    return rectangle(TURN_SCALE), rectangle(TURN_SCALE, angle)


def mild_quads(scene: np.ndarray, rng: np.random.Generator) -> Quads:
    """Two views that differ little."""
    return rectangle(1.0), mild_quad(rng, 1.0)


def flat_quads(scene: np.ndarray, rng: np.random.Generator) -> Quads:
    """Two views of the part of the scene with the lowest mean gradient."""
    blurred = cv2.GaussianBlur(scene.astype(np.float32), (0, 0), 1.5)
    gradient = np.hypot(cv2.Sobel(blurred, -1, 1, 0), cv2.Sobel(blurred, -1, 0, 1))
    height, width = (round(FLAT_SCALE * length) for length in VIEW_SIZE)
    mean = cv2.blur(gradient, (width, height))
    # Mild warps around these places stay inside the scene.
    top, left = round(0.75 * height), round(0.65 * width)
    inner = mean[top : SCENE_SIZE[0] - top, left : SCENE_SIZE[1] - left]
    row, col = np.unravel_index(np.argmin(inner), inner.shape)
    shift = np.array([left + col, top + row]) - centre(SCENE_SIZE)
    return rectangle(FLAT_SCALE) + shift, mild_quad(rng, FLAT_SCALE) + shift


def mild_quad(
    rng: np.random.Generator, scale: float, zoom: tuple[float, float] = MILD_ZOOM
) -> np.ndarray:
    """Corners of a view of the middle of a scene with a mild warp, (4, 2)."""
    quad = rectangle(scale * rng.uniform(*zoom), rng.uniform(-MILD_TURN, MILD_TURN))
    return quad + rng.uniform(-MILD_SHIFT, MILD_SHIFT, 2)


def unchanged(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Image as it is."""
    return image


def expose(gain: float, noise: float, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Multiply an image (uint8) by `gain` and add noise of standard deviation 255 * `noise`."""
    noisy = gain * image + rng.normal(0, 255 * noise, image.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def defocus(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blur an image (uint8) by a disc of BLUR_RADIUS."""
    y, x = np.mgrid[-BLUR_RADIUS : BLUR_RADIUS + 1, -BLUR_RADIUS : BLUR_RADIUS + 1]
    disc = (np.hypot(x, y) <= BLUR_RADIUS).astype(np.float32)
    return cv2.filter2D(image, -1, disc / disc.sum())


# Kind -> parts of the scene that both views show; change of the second view
KINDS: dict[str, tuple[Callable[..., Quads], Callable[..., np.ndarray]]] = {
    'zoom1.5': (partial(zoom_quads, 1.5), unchanged),
    'zoom2': (partial(zoom_quads, 2.0), unchanged),
    'tilt': (tilt_quads, unchanged),
    'rotation': (turn_quads, unchanged),
    'dark': (mild_quads, partial(expose, DARK_GAIN, DARK_NOISE)),
    'blur': (mild_quads, defocus),
    'low_texture': (flat_quads, partial(expose, 1.0, FLAT_NOISE)),
}


def make_kind_pair(kind: str, scene: Scene, seed: int) -> Pair:
    """Pair of a kind of KINDS; deterministic in scene and seed."""
    quads_of, change = KINDS[kind]
    rng = np.random.default_rng([seed, scene.number])
    quads = quads_of(scene.image, rng)
    first, second = (show(scene.image, quad) for quad in quads)
    to_first, to_second = (to_view(quad, VIEW_SIZE) for quad in quads)
    homography = to_second @ np.linalg.inv(to_first)
    return Pair(first, change(second, rng), homography / homography[2, 2])


def to_view(quad: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Homography (3, 3) from the scene to a view of `size` that shows `quad`, (4, 2)."""
    return cv2.getPerspectiveTransform(quad.astype(np.float32), corners(size))


def show(scene: np.ndarray, quad: np.ndarray) -> np.ndarray:
    """View of a part of a scene; without aliases where it is reduced by up to 2."""
    size = (2 * VIEW_SIZE[0], 2 * VIEW_SIZE[1])
    large = cv2.warpPerspective(
        scene, to_view(quad, size), size[::-1], borderMode=cv2.BORDER_REPLICATE
    )
    return cv2.resize(large, VIEW_SIZE[::-1], interpolation=cv2.INTER_AREA)


def report_on_kinds(
    material: Material,
    runtimes: Mapping[str, Runtime],
    unrefined: bool = False,
    progress: Progress = iter,
    settings: DetectorSettings = SETTINGS,
) -> dict:
    """Evaluate one pair of each kind and scene; returns the content of the --json file."""
    methods = methods_of(runtimes, unrefined, settings)
    kinds = []
    for kind in KINDS:
        make = partial(make_kind_pair, kind)
        values = evaluate(material.scenes, methods, 1, progress, make)
        rows = rows_of(values, runtimes)
        kinds.append({'name': kind, 'pairs': len(material.scenes), 'rows': rows})
    return {
        'kinds': kinds,
        'scenes': [scene.name for scene in material.scenes],
        'missing': list(material.missing),
        'settings': asdict(settings),
        'versions': versions(),
    }
