"""What is odd about a camera's images, told and counted."""

from __future__ import annotations

from typing import Any

from superpoint_rknn.nodes.common.diagnostics import ImageCounters

THROTTLE = 5.0  # [s] between two warnings of a kind


class ImageWarnings:
    """
    Warnings of one camera, few enough to be read.

    log: of the node. topic: of the images.
    """

    def __init__(self, log: Any, topic: str, counters: ImageCounters):
        self._log = log
        self._topic = topic
        self._counters = counters
        self._last_stamp = 0
        self._last_size: tuple[int, int] | None = None

    def look_at_stamp(self, stamp: int) -> None:
        """Tell of one that runs back; stamp: [ns]."""
        if stamp < self._last_stamp:
            times = self._counters.count('stamps_back')
            before, now = divmod(self._last_stamp, 10**9), divmod(stamp, 10**9)
            self._log.warning(
                f'{self._topic}: header.stamp runs back from {before} to {now} [s, ns] '
                f'(seen {times} times)',
                throttle_duration_sec=THROTTLE,
            )
        self._last_stamp = stamp

    def look_at_size(self, size: tuple[int, int]) -> None:
        """Tell of one, (height, width), that differs from the last."""
        if self._last_size not in (None, size):
            times = self._counters.count('size_changes')
            self._log.warning(
                f'{self._topic}: height, width changed from {self._last_size} to {size} '
                f'(seen {times} times)',
                throttle_duration_sec=THROTTLE,
            )
        self._last_size = size

    def refused(self, error: Exception) -> None:
        """Tell why an image was refused, which is counted as failed after this."""
        self._log.warning(
            f'{self._topic}: image refused: {error} '
            f'({self._counters["failed"] + 1} images failed so far)',
            throttle_duration_sec=THROTTLE,
        )
