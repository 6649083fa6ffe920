"""The type of all sources: an image with its timestamp and name."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Frame:
    """One image of a source."""

    image: np.ndarray  # (height, width) grey or (height, width, 3) BGR, uint8
    stamp_ns: int | None  # of the header in a bag, since the start of a video; None: none
    name: str  # of the file; of the video or topic, with the index of the image

    def grey(self) -> np.ndarray:
        """Grey image, (height, width) uint8; not copied if it is grey already."""
        if self.image.ndim == 2:
            return self.image
        return cv2.cvtColor(self.image, cv2.COLOR_BGR2GRAY)
