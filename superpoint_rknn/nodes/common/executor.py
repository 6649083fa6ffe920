"""Executor of this package's nodes."""

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

WAIT_SET = (
    'SUPERPOINT_RKNN_WAIT_SET'  # environment variable: if not empty, use rclpy's wait-set executor
)

# `event_callbacks` of topics that are created and destroyed while an executor spins. rclpy's
# default callbacks log incompatible QoS: with them the EventsExecutor of rclpy 9 crashes if the
# event's topic was just destroyed (ros2/rclpy#1641), and the wait-set executor adds them to the
# wait set for each image.
NO_PUBLISHER_EVENTS = PublisherEventCallbacks(use_default_callbacks=False)
NO_SUBSCRIPTION_EVENTS = SubscriptionEventCallbacks(use_default_callbacks=False)


def create_executor(context: Context | None = None) -> Executor:
    """
    Create a single-threaded executor.

    It is rclpy's EventsExecutor if available and WAIT_SET is unset or empty, else
    SingleThreadedExecutor. The latter is slower: it builds a wait set of all topics, services and
    timers twice for each image.
    """
    if EventsExecutor is None or os.environ.get(WAIT_SET):
        return SingleThreadedExecutor(context=context)
    return EventsExecutor(context=context)
