"""The timer that publishes descriptors, 5 times a second by default, and for which images."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Protocol

from superpoint_rknn.nodes.common.managed_node import ManagedNode

TICKS = 4  # of the timer in a period of `descriptors.rate`
SHORTEST_TICK = 0.005  # [s] unless the period itself is shorter
MARGIN = 0.2  # periods of the camera that its next image may be late
SMOOTHING = 0.2  # weight of the newest measurement
PAUSE = 3.0  # periods of the camera: a longer interval is a pause, the period is unknown then


class DescriptorSchedule:
    """
    Decides for which images of a camera or stereo pair the raw descriptor map is fetched.

    A map costs the NPU a transfer of 1 MB and only a few images a second are described. So it is
    fetched for the image that is expected to be the newest complete one when descriptors are
    next due, by the measured camera period and processing time. Where that fails, descriptors are
    overdue: the next image's map is fetched, and the timer's next tick publishes.
    Times are of `monotonic` [s].
    """

    def __init__(self) -> None:
        self.due = 0.0  # when descriptors are published next; set by the timer
        self._started: float | None = None  # when processing of the last image started
        self._period: float | None = None  # between two of these [s]
        self._duration: float | None = None  # of processing until the map is complete [s]

    def start(self, has_map: bool) -> bool:
        """
        Return True if the map of the image whose processing starts now is to be fetched.

        has_map: an older complete map waits to be described.
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
        """Note that the image whose processing started last is complete."""
        if self._started is None:
            return
        duration = monotonic() - self._started
        if self._duration is None:
            self._duration = duration
        else:
            self._duration += SMOOTHING * (duration - self._duration)


def tick_of(period: float) -> float:
    """Return the timer's period for a period of descriptors, both [s]."""
    return min(period, max(period / TICKS, SHORTEST_TICK))


class Described(Protocol):
    """A pipeline whose descriptors a timer publishes."""

    schedule: DescriptorSchedule

    def publish_descriptors(self) -> bool:
        """Describe the newest complete map and publish; return False if there is none."""
        ...


class DescriptorTimer:
    """
    Publishes the descriptors of each pipeline `rate` times a second, in a callback of its own.

    The timer runs in the executor, on the steady clock: under use_sim_time without /clock the
    node's own clock stands still. It ticks more often than it publishes, so that descriptors
    that are overdue follow soon. Several pipelines are spread over the period, so that images
    wait less for the executor.
    """

    def __init__(self, node: ManagedNode, pipelines: Sequence[Described], rate: float):
        self._node = node
        self._pipelines = pipelines
        self._period = 1.0 / rate
        tick = tick_of(self._period)
        self._early = tick / 2  # a tick this much before the due time serves it
        now = monotonic()
        for number, pipeline in enumerate(pipelines, 1):
            pipeline.schedule.due = now + self._period * number / len(pipelines)
        self._timer = node.create_timer(tick, self._publish_due, clock=node.steady_clock)

    def stop(self) -> None:
        """Publish no more, not even where descriptors are due."""
        self._node.end_timer(self._timer)

    def _publish_due(self) -> None:
        now = monotonic()
        for pipeline in self._pipelines:
            schedule = pipeline.schedule
            if now < schedule.due - self._early or not pipeline.publish_descriptors():
                continue
            schedule.due += self._period
            if schedule.due <= now:  # overdue by a period and more
                schedule.due = now + self._period
