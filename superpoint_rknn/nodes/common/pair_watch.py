"""Notice that one camera of a stereo pair sends no images while the other one does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic

from rclpy.node import Node

from superpoint_rknn.nodes.common.camera_names import topic_of

SILENCE = 2.0  # [s] without images after which a camera is silent


class PairWatch:
    """
    Which camera of a stereo pair is silent, for the log and /diagnostics. Not thread-safe.

    cameras: names of camera 0 (left) and 1 (right).
    fallback: while a camera is silent, the images of the other one are processed alone.
    clock: time [s].
    """

    def __init__(
        self,
        node: Node,
        cameras: Sequence[str],
        fallback: bool,
        clock: Callable[[], float] = monotonic,
    ):
        self._log = node.get_logger()
        self._topics = [node.resolve_topic_name(topic_of(name, 'image')) for name in cameras]
        self._fallback = fallback
        self._clock = clock
        self._reported: int | None = None  # the silent camera at the last check
        self.start()

    def start(self) -> None:
        """Wait for the images of both cameras; none is silent yet."""
        self._last = [self._clock()] * 2  # arrival of the last image of each camera [s]

    def arrive(self, camera: int) -> None:
        """Record the arrival of an image of camera 0 or 1."""
        now = self._clock()
        if now - max(self._last) > SILENCE:  # both begin again: wait for the other one, too
            self.start()
        self._last[camera] = now

    def is_alone(self, camera: int) -> bool:
        """Return True if the images of camera 0 or 1 are to be processed alone."""
        return self._fallback and self._silent() == 1 - camera

    def check(self) -> str | None:
        """
        Return which camera is waited for; None if none is silent, or both are.

        Changes are logged. Call once a second.
        """
        before, self._reported = self._reported, self._silent()
        camera = self._reported
        if camera is None:
            if before is not None and self._seconds_without(before) <= SILENCE:
                self._log.info(f'images of both {self._topics[0]} and {self._topics[1]} again')
            return None
        topic, other = self._topics[camera], self._topics[1 - camera]
        text = f'no images of {topic} for {self._seconds_without(camera):.0f} s: ' + (
            f'those of {other} are processed alone'
            if self._fallback
            else f'those of {other} wait for them; with mono_fallback they are processed alone'
        )
        if camera != before:
            self._log.warning(text)
        return text

    def _seconds_without(self, camera: int) -> float:
        """Return the time since the last image of a camera [s]."""
        return self._clock() - self._last[camera]

    def _silent(self) -> int | None:
        """Return the camera that is silent while the other one sends; None: there is none."""
        for camera in (0, 1):
            has_gap = self._last[1 - camera] - self._last[camera] > SILENCE
            if has_gap and self._seconds_without(1 - camera) <= SILENCE:
                return camera
        return None
