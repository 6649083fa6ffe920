"""
Extract SuperPoint keypoints and descriptors from camera images, without ROS.

`Extractor.detect`: camera image -> model input (resize) -> inference -> decode the logits ->
keypoints. `Extractor.describe`: raw descriptor map -> convertTo step for the keypoints ->
descriptors. The superpoint node and `superpoint_rknn extract` use it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from superpoint_rknn.features import CELL
from superpoint_rknn.features.descriptors import DescriptorSampler
from superpoint_rknn.features.keypoints import DetectorSettings, KeypointDetector, Keypoints
from superpoint_rknn.features.mask import allowed_map
from superpoint_rknn.features.quantization import Quantization
from superpoint_rknn.features.refine import refine
from superpoint_rknn.features.resize import RESIZE_MODES, ImageTransform
from superpoint_rknn.native.features import (
    MAX_CHANNELS,
    MAX_SIZE,
    NativeDescriptorSampler,
    NativeKeypointDetector,
    NativeRefiner,
)
from superpoint_rknn.native.library import library
from superpoint_rknn.runtimes.runtime import Runtime
from superpoint_rknn.settings import ParameterGroup, parameter

# Model input, x, y -> x, y: see features.refine.refine
Refine = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Settings(ParameterGroup):
    """Settings of the extractor; immutable, so that a change never takes effect halfway."""

    detector: DetectorSettings = field(default_factory=DetectorSettings)
    resize: str = parameter(
        'stretch',
        'How to resize a camera image to the model input: stretch scales each axis separately, '
        'crop cuts off the sides, letterbox pads.',
        choices=RESIZE_MODES,
    )
    mask: np.ndarray | None = parameter(  # (height, width) uint8
        None,
        "Image file of the camera image's size: no keypoints where it is 0. `cam0.mask` is the "
        "mask of the camera `cam0` alone; a / in the camera's name becomes a dot.",
        is_file=True,
    )


@dataclass(frozen=True)
class Detection:
    """The keypoints of one image, and the raw descriptor map of the same inference."""

    keypoints: Keypoints  # in pixels of the camera image
    network_keypoints: Keypoints  # the same points in pixels of the model input
    image_size: tuple[int, int]  # of the camera image: height, width [px]
    raw: np.ndarray | None  # (C, H/8, W/8) descriptor map of the runtime; None: not fetched


@dataclass(frozen=True)
class _Geometry:
    """Cached values that depend only on the settings and the camera image's size."""

    settings: Settings
    image_size: tuple[int, int]
    transform: ImageTransform
    allowed: np.ndarray | None  # see allowed_map


class Extractor:
    """
    Extract keypoints and, on request, descriptors from camera images.

    One thread may call `detect` while another calls `describe`. Any thread may replace `settings`,
    with effect from the next image.
    """

    def __init__(self, runtime: Runtime, settings: Settings | None = None):
        self.runtime = runtime
        self.settings = settings or Settings()
        self.stages_ms: dict[
            str, float
        ] = {}  # of the last `detect`, including those of the runtime
        _, channels, rows, cols = runtime.descriptors.shape
        _, _, height, width = runtime.input.shape
        self.network_size = (height, width)
        self._model_input = np.empty(self.network_size, np.uint8)
        self._detector = keypoint_detector(height, width)
        self._sampler = descriptor_sampler(channels, rows, cols, runtime.descriptors.quantization)
        self._refine = keypoint_refiner()
        self._geometry: _Geometry | None = None  # of the last image

    def new_descriptor_map(self) -> np.ndarray:
        """Return a buffer for one raw descriptor map, (C, H/8, W/8) of the runtime's dtype."""
        return np.empty(self.runtime.descriptors.shape[1:], self.runtime.descriptors.dtype)

    def detect(self, image: np.ndarray, raw: np.ndarray | None = None) -> Detection:
        """
        Run the model on a camera image and decode its keypoints.

        image: (height, width) uint8 grey.
        raw: buffer of `new_descriptor_map` that receives the raw descriptor map; None: the map is
        not fetched.
        Raises ValueError if the image does not fit the mask, RuntimeError if the inference failed.
        """
        start = time.perf_counter()
        geometry = self._geometry_of(image)
        model_input = geometry.transform.resize(image, out=self._model_input)
        resized = time.perf_counter()
        logits = self.runtime.infer(model_input, raw)
        inferred = time.perf_counter()
        found = self._detector.detect(logits, geometry.settings.detector, geometry.allowed)
        if geometry.settings.detector.refine:
            found = self._refined(model_input, found, geometry.allowed)
        x, y = geometry.transform.to_image(found.x, found.y)
        self.stages_ms = {
            'resize': 1e3 * (resized - start),
            **self.runtime.stages_ms,
            'infer': 1e3 * (inferred - resized),
            'decode': 1e3 * (time.perf_counter() - inferred),
        }
        return Detection(Keypoints(x, y, found.score), found, geometry.image_size, raw)

    def model_input(self, image: np.ndarray) -> np.ndarray:
        """
        Return the model input of a camera image, (H, W) uint8; valid until the next call.

        Raises ValueError if the image does not fit the mask.
        """
        return self._geometry_of(image).transform.resize(image, out=self._model_input)

    def describe(self, detection: Detection) -> np.ndarray:
        """
        Return the descriptors of a detection's keypoints, (N, C) float32 rows of unit length.

        Raises ValueError if the detection's descriptor map was not fetched.
        """
        if detection.raw is None:
            raise ValueError('this detection has no raw descriptor map: pass a buffer to detect()')
        points = detection.network_keypoints
        return self._sampler.sample_descriptors(detection.raw, points.x, points.y)

    def _refined(
        self, model_input: np.ndarray, found: Keypoints, allowed: np.ndarray | None
    ) -> Keypoints:
        """Refine keypoints in the model input; those that would leave the allowed area stay."""
        x, y = self._refine(model_input, found.x, found.y)
        if allowed is not None:
            is_allowed = allowed[np.rint(y).astype(np.intp), np.rint(x).astype(np.intp)] != 0
            x, y = np.where(is_allowed, x, found.x), np.where(is_allowed, y, found.y)
        return Keypoints(x, y, found.score)

    def _geometry_of(self, image: np.ndarray) -> _Geometry:
        """Return the geometry for the current settings and an image's size."""
        settings, geometry = self.settings, self._geometry
        height, width = image.shape
        if (
            geometry is None
            or geometry.settings is not settings
            or geometry.image_size != (height, width)
        ):
            transform = ImageTransform.fit(settings.resize, (height, width), self.network_size)
            allowed = allowed_map(transform, settings.mask, settings.detector.border)
            geometry = _Geometry(settings, (height, width), transform, allowed)
            self._geometry = geometry
        return geometry


def keypoint_detector(height: int, width: int) -> KeypointDetector | NativeKeypointDetector:
    """Return the native detector; NumPy's without the library, and for sizes beyond its limits."""
    native = library()
    if native is None or max(height, width) > MAX_SIZE:
        return KeypointDetector(height, width)
    return NativeKeypointDetector(native, height, width)


def keypoint_refiner() -> Refine:
    """Return the native function; NumPy's without the library."""
    native = library()
    return refine if native is None else NativeRefiner(native)


def descriptor_sampler(
    channels: int, rows: int, cols: int, quantization: Quantization | None
) -> DescriptorSampler | NativeDescriptorSampler:
    """Return the native sampler; NumPy's without the library, and for sizes beyond its limits."""
    native = library()
    if native is None or max(rows, cols) > MAX_SIZE // CELL or channels > MAX_CHANNELS:
        return DescriptorSampler(channels, rows, cols, quantization)
    return NativeDescriptorSampler(native, channels, rows, cols, quantization)
