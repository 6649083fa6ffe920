"""The executor that runs the callbacks of this package's nodes."""

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
    EventsExecutor = None  # type: ignore[assignment]

WAIT_SET = 'SUPERPOINT_RKNN_WAIT_SET'  # environment: if not empty, keep to rclpy's plain executor

# For `event_callbacks` of topics that are created and destroyed while an executor spins. rclpy's
# default callbacks report peers with an incompatible QoS: the EventsExecutor of rclpy 9 crashes
# when such an event belongs to a topic that was just destroyed (ros2/rclpy#1641), and the wait-set
# executor waits for them at each image.
NO_PUBLISHER_EVENTS = PublisherEventCallbacks(use_default_callbacks=False)
NO_SUBSCRIPTION_EVENTS = SubscriptionEventCallbacks(use_default_callbacks=False)


def create_executor(context: Context | None = None) -> Executor:
    """
    Create an executor that runs callbacks one after another, in the thread that spins.

    It is rclpy's EventsExecutor where there is one, unless the environment variable WAIT_SET is
    set; else SingleThreadedExecutor, which builds a wait set of all topics, services and timers
    twice for each image.
    """
    if EventsExecutor is None or os.environ.get(WAIT_SET):
        return SingleThreadedExecutor(context=context)
    return EventsExecutor(context=context)
