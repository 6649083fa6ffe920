"""The descriptor timer: publish descriptors at `descriptors.rate`, 5 Hz by default."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Protocol

from superpoint_rknn.nodes.common.managed_node import ManagedNode

TICKS = 4  # timer ticks per period of `descriptors.rate`
MIN_TICK = 0.005  # [s] unless the period is shorter
MARGIN = 0.2  # [camera periods] tolerated delay of the next image
SMOOTHING = 0.2  # weight of the newest measurement
PAUSE = 3.0  # [camera periods] after a longer interval the camera period is unknown


class DescriptorSchedule:
    """
    Select the images of a camera or stereo pair whose raw descriptor map is fetched.

    Fetching a map transfers 1 MB, but only a few images a second are described. The map is
    fetched for the image that is expected to be the newest complete one when descriptors are due,
    estimated from the camera period and the processing time. If the estimate fails, descriptors
    are overdue: the map of the next image is fetched, and the next timer tick publishes them.
    Times are those of time.monotonic [s].
    """

    def __init__(self) -> None:
        self.due = 0.0  # next time to publish descriptors; set by the timer
        self._started: float | None = None  # start of processing of the last image
        self._period: float | None = None  # camera period: interval between two starts [s]
        self._duration: float | None = None  # from the start until the map is complete [s]

    def start(self, has_map: bool) -> bool:
        """
        Start the processing of an image; return True if its map is to be fetched.

        has_map: an older map is complete but not described yet.
        """
        now = monotonic()
        if self._started is not None:
            interval = now - self._started
            if self._period is None:
                self._period = interval
            elif interval > PAUSE * self._period:
                self._period = None
            else:
                self._period += SMOOTHING * (interval - self._period)
        self._started = now
        if self._period is None or self._duration is None:
            return True
        next_complete = now + self._duration + (1 + MARGIN) * self._period
        return not has_map and next_complete > self.due

    def complete(self) -> None:
        """Record that the image that was started last is complete."""
        if self._started is None:
            return
        duration = monotonic() - self._started
        if self._duration is None:
            self._duration = duration
        else:
            self._duration += SMOOTHING * (duration - self._duration)


def tick_period(period: float) -> float:
    """Return the period of the timer for a period of `descriptors.rate`, both [s]."""
    return min(period, max(period / TICKS, MIN_TICK))


class DescriptorPipeline(Protocol):
    """Protocol of a pipeline with descriptors to publish."""

    schedule: DescriptorSchedule

    def publish_descriptors(self) -> bool:
        """Sample the newest map and publish its descriptors; return False if there is none."""
        ...


class DescriptorTimer:
    """
    Timer that publishes the descriptors of each pipeline at `rate` [Hz].

    Its callback runs in the executor, on the steady clock: with use_sim_time and without /clock
    the node's clock stands still. It ticks several times per period, so that overdue descriptors
    are published soon. The pipelines are due at different times of the period, so that the
    callback blocks images in the executor for less time.
    """

    def __init__(self, node: ManagedNode, pipelines: Sequence[DescriptorPipeline], rate: float):
        self._node = node
        self._pipelines = pipelines
        self._period = 1.0 / rate
        now = monotonic()
        for number, pipeline in enumerate(pipelines, 1):
            pipeline.schedule.due = now + self._period * number / len(pipelines)
        self._start()

    def set_rate(self, rate: float) -> None:
        """
        Change the rate [Hz].

        What is due by the new rate is published at once: frequent changes delay nothing.
        """
        before, self._period = self._period, 1.0 / rate
        for pipeline in self._pipelines:
            pipeline.schedule.due += self._period - before
        self.stop()
        self._start()
        self._publish_due()

    def stop(self) -> None:
        """Stop publishing; descriptors that are due are not published."""
        self._node.end_timer(self._timer)

    def _start(self) -> None:
        tick = tick_period(self._period)
        self._early = tick / 2  # [s] a tick this much before the due time counts
        self._timer = self._node.create_timer(
            tick, self._publish_due, clock=self._node.steady_clock
        )

    def _publish_due(self) -> None:
        now = monotonic()
        for pipeline in self._pipelines:
            schedule = pipeline.schedule
            if now < schedule.due - self._early or not pipeline.publish_descriptors():
                continue
            schedule.due += self._period
            if schedule.due <= now:  # overdue by at least a period
                schedule.due = now + self._period
