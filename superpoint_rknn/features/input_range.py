"""Scale 16-bit images to 8 bits, by a fixed range or one that follows the images."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from superpoint_rknn.settings import ParameterGroup, parameter

AUTO = 'auto'
FULL = (0, 65535)
UNSET = (0, 0)
DEPTHS = (10, 12, 14, 16)  # [bits] of sensors
PERCENTILES = (1, 99)  # that become black and white
SAMPLING = 8  # [px] between the pixels whose percentiles are computed
RATE = 0.05  # part of the difference that the range follows with each image
LEAST_SPAN = 64.0  # of an automatic range: noise of a uniform image must not become contrast
LEAST_GREY_LEVELS = 25.6  # of 256, a tenth; images that use fewer cause a warning


@dataclass(frozen=True)
class InputSettings(ParameterGroup):
    """How 16-bit images become 8-bit ones. Raises ValueError for an empty range."""

    input_range: tuple[int, int] | str = parameter(
        UNSET,
        'Values of 16-bit images that become black and white: [0, 4095] for 12 bits in the lower '
        'bits, for instance. [0, 0]: that of the fewest bits, 10, 12, 14 or 16, that hold all '
        'values so far. auto: percentiles 1 and 99, which follow the images slowly; for thermal '
        'images.',
        limits=FULL,
        choices=(AUTO,),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        values = self.input_range
        if not isinstance(values, str) and values != UNSET and values[0] >= values[1]:
            raise ValueError(f'input_range: {list(values)}, expected the lower number first')


class InputRange:
    """
    Scales the 16-bit images of one camera; thread-safe.

    warn: called with the reason once per range if images use little of it, and if their number of
    bits is detected.
    """

    def __init__(
        self,
        values: tuple[int, int] | str = UNSET,
        warn: Callable[[str], None] | None = None,
    ):
        self._values = values
        self._warn = warn
        self._has_warned = False
        self._bits = 0  # of the values so far, one of DEPTHS
        self._told = UNSET  # the detected range that was warned of
        self._automatic: np.ndarray | None = None  # [low, high], float64
        self._lock = threading.Lock()

    @property
    def values(self) -> tuple[int, int] | str:
        """The parameter `input_range`; setting another value starts again."""
        return self._values

    @values.setter
    def values(self, values: tuple[int, int] | str) -> None:
        if values == self._values:  # without the lock: set for each image
            return
        with self._lock:
            self._values, self._has_warned, self._automatic = values, False, None
            self._bits, self._told = 0, UNSET

    def to_8_bits(self, words: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """
        Scale an image, (height, width) or (height, width, 3) uint16, to uint8, rounding.

        out: uint8 array that receives the result; ignored if its size differs.
        """
        with self._lock:
            values = self._values
            if isinstance(values, str):
                low, high = self._follow(words)
            else:
                low, high = self._detect(words) if values == UNSET else values
        shifted = words
        if low:
            shifted = np.maximum(words, np.uint16(low))
            shifted -= np.uint16(low)
        result = cv2.convertScaleAbs(shifted, out, 255 / (high - low))
        is_detected, limits = values == UNSET, (low, high)
        is_unchecked = self._told != limits if is_detected else not self._has_warned
        if values != AUTO and is_unchecked:
            self._check(words, result, limits, is_detected)
        return result

    def _follow(self, words: np.ndarray) -> tuple[int, int]:
        """Range for the next image of an automatic one."""
        found = np.percentile(words[::SAMPLING, ::SAMPLING], PERCENTILES)
        if self._automatic is None:
            self._automatic = found
        else:
            self._automatic += RATE * (found - self._automatic)
        low, high = self._automatic
        margin = max(0.0, LEAST_SPAN - (high - low)) / 2
        low = max(0, round(low - margin))
        return low, max(round(high + margin), low + 1)

    def _detect(self, words: np.ndarray) -> tuple[int, int]:
        """Range of the fewest bits that hold all values so far; it only grows."""
        if self._bits < DEPTHS[-1]:
            needed = int(words.max()).bit_length()
            self._bits = max(self._bits, next(depth for depth in DEPTHS if depth >= needed))
        return 0, 2**self._bits - 1

    def _check(
        self, words: np.ndarray, result: np.ndarray, limits: tuple[int, int], is_detected: bool
    ) -> None:
        """Warn if an image uses little of the range `limits`, or of a range below 16 bits."""
        if self._warn is None:
            return
        low, high = int(words.min()), int(words.max())
        if np.ptp(result) >= LEAST_GREY_LEVELS:
            if is_detected and limits not in (self._told, FULL):
                self._told = limits
                self._warn(
                    f'16-bit image with values up to {high}: input_range is taken as {[*limits]}; '
                    'set it to the range of the sensor'
                )
        elif not self._has_warned:
            self._has_warned = True
            fewest = (0, 2 ** max(8, high.bit_length()) - 1)
            better = '' if fewest == limits else f'that of the sensor, such as {[*fewest]}, or to '
            self._warn(
                f'16-bit image with values of {low} to {high}, less than a tenth of input_range '
                f'{[*limits]}: set input_range to {better}{AUTO}'
            )
