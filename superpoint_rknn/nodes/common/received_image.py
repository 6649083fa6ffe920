"""An image on its way through a node."""

from __future__ import annotations

import threading
import time

import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from superpoint_rknn.nodes.common.messages import grey_image, nanoseconds


class ReceivedImage:
    """An image message, when it came, and what it shows; any thread may ask."""

    def __init__(self, message: Image | CompressedImage):
        self.message = message
        self.arrived = time.perf_counter()  # [s]
        self.stamp = nanoseconds(message.header.stamp)  # [ns]
        self._lock = threading.Lock()
        self._grey: np.ndarray | None = None

    def grey(self) -> np.ndarray:
        """
        Grey image, (height, width) uint8, converted once however often it is asked for.

        Raises ValueError naming the field and the value if the message is no valid image.
        """
        with self._lock:
            if self._grey is None:
                self._grey = grey_image(self.message)
            return self._grey
