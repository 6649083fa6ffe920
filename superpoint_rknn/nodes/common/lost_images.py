"""Images that are lost between the camera and the node: how many, and what helps."""

from __future__ import annotations

import os
from collections import deque

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.utilities import get_rmw_implementation_identifier

from superpoint_rknn.files import find_shared_file

WINDOW = 60  # newest images that are looked at
LEAST_IMAGES = 20
TOO_MANY = 0.2  # share of lost images above which it is a warning
LARGE = 256_000  # [bytes] of an image that Fast DDS transports whole by default
# Intervals between stamps, in periods of the camera:
MAX_IRREGULARITY = 0.1  # mean distance to a whole number; above, stamps do not show losses
PAUSE = 10.5  # longer ones are pauses of the camera
LEAST_CHANGES = 6  # between whole and missing images; fewer: the camera changed its rate


class LostImages:
    """
    The losses among the newest images of a topic.

    They are counted where messages are numbered. Elsewhere the stamps show them: those of a
    camera at a constant rate are whole periods apart.
    """

    def __init__(self) -> None:
        self._images: deque[tuple[Time, int | None]] = deque(maxlen=WINDOW)

    def add(self, stamp: Time, lost: int | None) -> None:
        """Add an image; lost: number of images lost before it, None if it is unknown."""
        self._images.append((stamp, lost))

    def clear(self) -> None:
        """Forget all images."""
        self._images.clear()

    def warning(self) -> str | None:
        """Return how many of the newest images were lost; None if few, or if it is unknown."""
        if len(self._images) < LEAST_IMAGES:
            return None
        stamps, gaps = zip(*self._images, strict=True)
        counted = [gap for gap in gaps if gap is not None]
        is_counted = len(counted) == len(gaps)
        lost = sum(counted) if is_counted else missing_between(stamps)
        sent = len(stamps) + lost
        if lost < TOO_MANY * sent:
            return None
        return f'{lost} of {sent} images {"lost" if is_counted else "missing, by their stamps"}'


def missing_between(stamps: tuple[Time, ...]) -> int:
    """Estimate how many images are missing between these; 0 if their rate is not constant."""
    intervals = np.diff([stamp.sec + 1e-9 * stamp.nanosec for stamp in stamps])
    shortest = float(np.percentile(intervals, 10))
    if shortest <= 0:
        return 0
    period = np.median(intervals[intervals < 1.5 * shortest])
    periods = intervals[intervals < PAUSE * period] / period
    steps = np.rint(periods)
    changes = np.count_nonzero(np.diff(steps > 1))
    if np.abs(periods - steps).mean() > MAX_IRREGULARITY or changes < LEAST_CHANGES:
        return 0
    return int((steps - 1).sum())


def remedy(reliable: bool, size: int) -> str:
    """Say what helps against lost images; reliable: of the subscription; size: [bytes]."""
    if reliable:
        return 'the CPU is too busy to receive them: reduce the rate or size of the images'
    if size > LARGE and 'fastrtps' in get_rmw_implementation_identifier():
        is_version_2 = os.environ.get('ROS_DISTRO') in ('humble', 'jazzy')
        variable = f'{"FASTRTPS" if is_version_2 else "FASTDDS"}_DEFAULT_PROFILES_FILE'
        return (
            f'{size} bytes are too many for the shared memory of Fast DDS: start the camera '
            f'driver with {variable}={find_shared_file("config/fastdds.xml")}, or let it publish '
            'RELIABLE'
        )
    return 'its publisher is BEST_EFFORT, which does not repeat lost images: set it to RELIABLE'
