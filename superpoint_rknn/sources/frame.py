"""One image of a source."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Frame:
    """One image of a source."""

    image: np.ndarray  # (h, w) grey or (h, w, 3) BGR, uint8
    stamp_ns: int | None  # of the header in a bag, since the start in a video
    name: str  # of the picture; of the video or topic, with the image's number

    def grey(self) -> np.ndarray:
        """The image in grey, (h, w) uint8; the very same array where it is grey already."""
        if self.image.ndim == 2:
            return self.image
        return cv2.cvtColor(self.image, cv2.COLOR_BGR2GRAY)
