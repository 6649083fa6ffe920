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
PERCENTILES = (1, 99)  # that become black and white
SAMPLING = 8  # [px] between the pixels whose percentiles are computed
RATE = 0.05  # part of the difference that the range follows with each image
LEAST_SPAN = 64.0  # of an automatic range: noise of a uniform image must not become contrast
LEAST_GREY_LEVELS = 25.6  # of 256, a tenth; images that use fewer cause a warning


@dataclass(frozen=True)
class InputSettings(ParameterGroup):
    """How 16-bit images become 8-bit ones. Raises ValueError for an empty range."""

    input_range: tuple[int, int] | str = parameter(
        FULL,
        'Values of 16-bit images that become black and white: [0, 4095] for 12 bits in the lower '
        'bits, for instance. auto: percentiles 1 and 99, which follow the images slowly; for '
        'thermal images.',
        limits=FULL,
        choices=(AUTO,),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        values = self.input_range
        if not isinstance(values, str) and values[0] >= values[1]:
            raise ValueError(f'input_range: {list(values)}, expected the lower number first')


class InputRange:
    """
    Scales the 16-bit images of one camera; thread-safe.

    warn: called once per range with the reason if images use little of it.
    """

    def __init__(
        self,
        values: tuple[int, int] | str = FULL,
        warn: Callable[[str], None] | None = None,
    ):
        self._values = values
        self._warn = warn
        self._has_warned = False
        self._automatic: np.ndarray | None = None  # [low, high], float64
        self._lock = threading.Lock()

    @property
    def values(self) -> tuple[int, int] | str:
        """The parameter `input_range`; setting another value starts again."""
        return self._values

    @values.setter
    def values(self, values: tuple[int, int] | str) -> None:
        with self._lock:
            if values != self._values:
                self._values, self._has_warned, self._automatic = values, False, None

    def to_8_bits(self, words: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """
        Scale an image, (height, width) or (height, width, 3) uint16, to uint8, rounding.

        out: uint8 array that receives the result; ignored if its size differs.
        """
        with self._lock:
            values = self._values
            low, high = self._follow(words) if isinstance(values, str) else values
        shifted = words
        if low:
            shifted = np.maximum(words, np.uint16(low))
            shifted -= np.uint16(low)
        result = cv2.convertScaleAbs(shifted, out, 255 / (high - low))
        if values != AUTO and not self._has_warned:
            self._check(words, result)
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

    def _check(self, words: np.ndarray, result: np.ndarray) -> None:
        if self._warn is None or np.ptp(result) >= LEAST_GREY_LEVELS:
            return
        self._has_warned = True
        low, high = int(words.min()), int(words.max())
        self._warn(
            f'16-bit image with values of {low} to {high}, less than a tenth of input_range '
            f'{list(self._values)}: set input_range to the range of the sensor, such as '
            f'[0, {2 ** max(8, high.bit_length()) - 1}], or to {AUTO}'
        )
