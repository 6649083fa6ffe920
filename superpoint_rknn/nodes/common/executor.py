"""The executor that runs the callbacks of this package's nodes, and what it must be spared."""

from __future__ import annotations

import os

from rclpy.context import Context
from rclpy.executors import Executor, SingleThreadedExecutor

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks
try:
    from rclpy.experimental import EventsExecutor
except ImportError:  # Humble, and Jazzy at first
    EventsExecutor = None

WAIT_SET = 'SUPERPOINT_RKNN_WAIT_SET'  # environment: if not empty, keep to rclpy's plain executor

# For `event_callbacks` of topics that come and go while an executor spins: rclpy's own ones tell
# of peers with another quality of service. The EventsExecutor of rclpy 9 dies of such news about
# a topic that was just taken down, and the other one waits for them at each image.
NO_PUBLISHER_EVENTS = PublisherEventCallbacks(use_default_callbacks=False)
NO_SUBSCRIPTION_EVENTS = SubscriptionEventCallbacks(use_default_callbacks=False)


def create_executor(context: Context | None = None) -> Executor:
    """
    An executor that runs callbacks one after another, in the thread that spins.

    Where rclpy has one to which the middleware tells what happened, it is that one, unless the
    environment says otherwise (WAIT_SET): the other builds a wait set of all topics, services
    and timers anew, twice for each image.
    """
    if EventsExecutor is None or os.environ.get(WAIT_SET):
        return SingleThreadedExecutor(context=context)
    return EventsExecutor(context=context)
