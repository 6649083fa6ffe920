"""SuperPoint on one camera image after another: the whole job, without ROS."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from superpoint_rknn.features.descriptors import DescriptorSampler
from superpoint_rknn.features.keypoints import (
    DetectorSettings,
    KeypointDetector,
    Keypoints,
)
from superpoint_rknn.features.mask import allowed_map
from superpoint_rknn.features.resize import RESIZE_MODES, ImageTransform
from superpoint_rknn.runtimes.runtime import Runtime
from superpoint_rknn.settings import ParameterGroup, parameter


@dataclass(frozen=True)
class Settings(ParameterGroup):
    """How points are sought; replaced as a whole, so that no image sees a half-made change."""

    detector: DetectorSettings = field(default_factory=DetectorSettings)
    resize: str = parameter(
        'stretch',
        'How a camera image of another size becomes the model input: stretch scales each axis by '
        'itself, crop cuts the sides off, letterbox pads.',
        choices=RESIZE_MODES,
    )
    mask: np.ndarray | None = parameter(  # (height, width) uint8
        None,
        "Image file of the camera image's size: no keypoints where it is 0. `cam0.mask` is the "
        "mask of `cam0` alone, with . for / in the camera's name.",
        is_file=True,
    )


@dataclass(frozen=True)
class Detection:
    """The points of one image and the raw descriptor map of the same inference."""

    keypoints: Keypoints  # in the camera image [px]
    network_keypoints: Keypoints  # the same points in the network image [px]
    image_size: tuple[int, int]  # of the camera image: height, width [px]
    raw: np.ndarray | None  # (C, H/8, W/8), as the engine gave it; None if not fetched


class Extractor:
    """
    Keypoints at once, descriptors when asked for.

    One thread may call `detect` while another calls `describe`; `settings` may be replaced by any.
    """

    def __init__(self, runtime: Runtime, settings: Settings | None = None):
        self.runtime = runtime
        self.settings = settings or Settings()
        self.stages_ms: dict[str, float] = {}  # of the last detection, the engine's included
        _, channels, rows, cols = runtime.descriptors.shape
        self.network_size = runtime.input.shape[2:]
        self._network_image = np.empty(self.network_size, np.uint8)
        self._detector = KeypointDetector(*self.network_size)
        self._sampler = DescriptorSampler(channels, rows, cols, runtime.descriptors.quantization)
        self._plan_for: tuple[Settings, tuple[int, int]] | None = None

    def new_raw(self) -> np.ndarray:
        """Buffer for one raw descriptor map, (C, H/8, W/8) of the engine's dtype."""
        return np.empty(self.runtime.descriptors.shape[1:], self.runtime.descriptors.dtype)

    def detect(self, image: np.ndarray, raw: np.ndarray | None = None) -> Detection:
        """
        Run the network on a camera image and find its points.

        image: (height, width) uint8 grey.
        raw: buffer of `new_raw` that receives the descriptor map; None leaves it unfetched.
        Raises ValueError if the image doesn't fit the mask, RuntimeError if the engine failed.
        """
        settings = self.settings
        start = time.perf_counter()
        network_image = self._fit(settings, image)
        resized = time.perf_counter()
        logits = self.runtime.infer(network_image, raw)
        inferred = time.perf_counter()
        found = self._detector.detect(logits, settings.detector, self._allowed)
        x, y = self._transform.to_image(found.x, found.y)
        self.stages_ms = {
            'resize': 1e3 * (resized - start),
            **self.runtime.stages_ms,
            'infer': 1e3 * (inferred - resized),
            'decode': 1e3 * (time.perf_counter() - inferred),
        }
        return Detection(Keypoints(x, y, found.score), found, image.shape, raw)

    def network_image(self, image: np.ndarray) -> np.ndarray:
        """
        What the network sees of a camera image, (H, W) uint8; valid until the next call.

        Raises ValueError if the image doesn't fit the mask.
        """
        return self._fit(self.settings, image)

    def describe(self, detection: Detection) -> np.ndarray:
        """
        Descriptors of a detection's points, (N, C) float32 of unit length, row by row.

        Raises ValueError if the detection's descriptor map was not fetched.
        """
        if detection.raw is None:
            raise ValueError('this detection has no descriptor map: give detect() a raw buffer')
        points = detection.network_keypoints
        return self._sampler.sample_descriptors(detection.raw, points.x, points.y)

    def _fit(self, settings: Settings, image: np.ndarray) -> np.ndarray:
        self._plan(settings, image.shape)
        return self._transform.resize(image, out=self._network_image)

    def _plan(self, settings: Settings, image_size: tuple[int, int]) -> None:
        """Prepare what depends on the settings and the camera image's size alone."""
        if self._plan_for is not None:
            known, size = self._plan_for
            if known is settings and size == image_size:
                return
        self._plan_for = None
        self._transform = ImageTransform.fit(settings.resize, image_size, self.network_size)
        self._allowed = allowed_map(self._transform, settings.mask, settings.detector.border)
        self._plan_for = (settings, image_size)
