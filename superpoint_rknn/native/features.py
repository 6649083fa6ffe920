"""The keypoint detector and the descriptor sampler of the native library."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable

import numpy as np

from superpoint_rknn.features import CELL
from superpoint_rknn.features.keypoints import PIXELS, DetectorSettings, Keypoints
from superpoint_rknn.features.quantization import Quantization
from superpoint_rknn.native.library import Settings

# Limits of features.c
MAX_SIZE = 8192  # [px] of the model input, along each axis
MAX_CHANNELS = 4096  # of a descriptor map
FLOAT = np.dtype(np.float32)
_Start = ctypes.c_char * 0
TYPES = (np.dtype(np.uint8), np.dtype(np.int8), FLOAT)


class NativeKeypointDetector:
    """
    `features.keypoints.KeypointDetector` in C, with the same points in the same order.

    Probabilities and scores differ from NumPy's by rounding, less than 1e-6. Where two of them
    differ by less, the order or the choice of keypoints may differ; where a probability differs
    from the threshold by less, one of the two detectors may leave the pixel out.
    Cells with a NaN or infinite peak have no keypoints.

    Not thread-safe: `detect` reuses buffers. Other threads run during a call.
    library: as of `library()`. height, width: of the model input [px].
    Raises ValueError for a size that isn't divisible by 8 or above MAX_SIZE, MemoryError.
    """

    def __init__(self, library: ctypes.CDLL, height: int, width: int):
        for size in (height, width):
            if size % CELL or not CELL <= size <= MAX_SIZE:
                raise ValueError(
                    f'model input: {height}x{width}, expected multiples of {CELL} up to {MAX_SIZE}'
                )
        self._size = (height, width)
        self._shape = (PIXELS + 1, height // CELL, width // CELL)
        self._decode = library.superpoint_decode
        self._handle = library.superpoint_decoder_create(*self._shape[1:])
        if not self._handle:
            raise MemoryError(f'no memory to decode logits of {self._shape}')
        _destroy_with(self, library.superpoint_decoder_destroy, self._handle)
        self._settings: DetectorSettings | None = None  # that `_native_settings` holds
        self._native_settings = Settings()

    def detect(
        self,
        logits: np.ndarray,
        settings: DetectorSettings,
        allowed: np.ndarray | None = None,
    ) -> Keypoints:
        """
        Decode the logits of one image; see KeypointDetector.detect.

        logits: (65, height / 8, width / 8) float32.
        allowed: (height, width) bool or uint8, no keypoints where it is 0; None allows all.
        Returns points in pixels of the model input, highest score first.
        Raises ValueError if an array is of another shape.
        """
        if logits.shape != self._shape:
            raise ValueError(f'logits: {logits.shape}, expected {self._shape}')
        logits = _readable(logits, FLOAT)
        allowed_pointer = None
        if allowed is not None:
            if allowed.shape != self._size:
                raise ValueError(f'allowed: {allowed.shape}, expected {self._size}')
            if allowed.dtype != np.uint8:
                allowed = (allowed != 0).view(np.uint8)
            allowed = _readable(allowed, TYPES[0])
            allowed_pointer = _pointer(allowed)
        if settings is not self._settings:
            self._native_settings = Settings(
                settings.threshold,
                settings.nms_radius,
                settings.max_keypoints,
                settings.border,
                *settings.grid,
                settings.subpixel,
            )
            self._settings = settings
        room = min(settings.max_keypoints, self._size[0] * self._size[1])
        points = np.empty((3, room), np.float32)
        count = self._decode(
            self._handle,
            _pointer(logits),
            ctypes.addressof(self._native_settings),
            allowed_pointer,
            _pointer(points),
        )
        if count < 0:
            raise ValueError(f'{settings}: a setting is out of its range')
        x, y, score = points[:, :count]
        return Keypoints(x, y, score)


class NativeRefiner:
    """`features.refine.refine` in C; its points differ by rounding, less than 1e-3 px."""

    def __init__(self, library: ctypes.CDLL):
        self._refine = library.superpoint_refine

    def __call__(
        self, image: np.ndarray, x: np.ndarray, y: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """
        Move each keypoint to the weighted centre of the corner strength around it.

        image: (height, width) uint8, model input. x, y: (N,) float32 keypoints in its pixels.
        Returns x, y, (N,) float32. Raises ValueError if x and y aren't (N,).
        """
        if x.ndim != 1 or x.shape != y.shape:
            raise ValueError(f'points: x {x.shape}, y {y.shape}, expected one length for both')
        image = _readable(image, TYPES[0])
        x, y = x.astype(np.float32), y.astype(np.float32)
        self._refine(_pointer(image), *image.shape, len(x), _pointer(x), _pointer(y))
        return x, y


class NativeDescriptorSampler:
    """
    `features.descriptors.DescriptorSampler` in C; its descriptors differ by rounding.

    Not thread-safe: `sample_descriptors` reuses buffers. Other threads run during a call.
    library: as of `library()`. channels, rows, cols: shape of the map.
    quantization: of the map; None for a map of float32.
    Raises ValueError for a shape beyond the limits, MemoryError.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        channels: int,
        rows: int,
        cols: int,
        quantization: Quantization | None = None,
    ):
        limits = (MAX_CHANNELS, MAX_SIZE // CELL, MAX_SIZE // CELL)
        self._shape = (channels, rows, cols)
        if not all(1 <= n <= limit for n, limit in zip(self._shape, limits, strict=True)):
            raise ValueError(f'descriptor map: {self._shape}, expected 1 to {limits}')
        self._dtype = FLOAT if quantization is None else quantization.dtype
        zero_point = 0 if quantization is None else quantization.zero_point
        self._describe = library.superpoint_describe
        self._handle = library.superpoint_sampler_create(
            *self._shape, TYPES.index(self._dtype), zero_point
        )
        if not self._handle:
            raise MemoryError(f'no memory to sample descriptor maps of {self._shape}')
        _destroy_with(self, library.superpoint_sampler_destroy, self._handle)

    def sample_descriptors(self, raw: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """
        Unit descriptors of N points; see DescriptorSampler.sample_descriptors.

        raw: (channels, rows, cols) of the quantisation's dtype.
        x, y: (N,) pixels of the model input, float32; a NaN gives a row of NaN.
        Returns (N, channels) float32 of L2 norm 1; a row of zeros where the map is zero.
        Raises ValueError if `raw` is of another shape or dtype, or x and y aren't (N,).
        """
        if raw.shape != self._shape or raw.dtype != self._dtype:
            raise ValueError(
                f'descriptor map: {raw.dtype} {raw.shape}, expected {self._dtype} {self._shape}'
            )
        if x.ndim != 1 or x.shape != y.shape:
            raise ValueError(f'points: x {x.shape}, y {y.shape}, expected one length for both')
        raw = _readable(raw, self._dtype)
        x, y = _readable(x, FLOAT), _readable(y, FLOAT)
        descriptors = np.empty((len(x), self._shape[0]), np.float32)
        self._describe(
            self._handle,
            _pointer(raw),
            len(x),
            _pointer(x),
            _pointer(y),
            _pointer(descriptors),
        )
        return descriptors


def _destroy_with(owner: object, destroy: Callable[[int], None], handle: int) -> None:
    """Destroy a handle with its owner."""
    # Not at the interpreter's exit, when a daemon thread may still be in a call.
    weakref.finalize(owner, destroy, handle).atexit = False


def _readable(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return an array of a dtype as C reads it: contiguous and aligned; the same one if it is."""
    flags = array.flags
    if array.dtype == dtype and flags.c_contiguous and flags.aligned:
        return array
    return np.require(array, dtype, ['C', 'A'])


def _pointer(array: np.ndarray) -> ctypes.Array[ctypes.c_char] | int:
    """Pointer to an array's first element, for a call."""
    if array.flags.writeable:  # takes a tenth of the time of array.ctypes
        return _Start.from_buffer(array.data)
    return array.ctypes.data
