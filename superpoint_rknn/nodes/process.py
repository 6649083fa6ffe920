"""A process that runs one managed node and ends cleanly."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions

WAKE_UP = 0.1  # [s] longest time until a signal is noticed


def run_node(create: Callable[[], LifecycleNode], args: list[str] | None = None) -> int:
    """
    Run a managed node until SIGINT or SIGTERM; returns the exit code, 0.

    create: makes the node, which has `autostart` (whether it is configured and activated first),
    `interrupt()` (gives up waiting, called by a signal handler) and `hangs` (whether a call that
    can't be interrupted never returned).
    The signals are handled here and not by rclpy, so that the node can still publish its last
    diagnostics.
    """
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    node = create()
    stopping = threading.Event()

    def stop(*_) -> None:
        stopping.set()
        node.interrupt()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    if node.autostart and node.trigger_configure() == TransitionCallbackReturn.SUCCESS:
        node.trigger_activate()
    while not stopping.is_set():
        executor.spin_once(timeout_sec=WAKE_UP)
    node.trigger_shutdown()
    hangs = node.hangs
    executor.shutdown()
    node.destroy_node()
    rclpy.try_shutdown()
    if hangs:  # a normal exit would wait for that call, or destroy what it uses
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    return 0
