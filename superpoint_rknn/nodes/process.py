"""A process that runs one managed node and ends cleanly."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions

from superpoint_rknn.nodes.executor import create_executor

WAKE_UP = 0.1  # [s] longest time until a signal is noticed


class Interruption:
    """Set once a signal asks the process to end: a plain flag, which a signal handler may set."""

    def __init__(self):
        self.requested = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._request)

    def _request(self, *_) -> None:
        self.requested = True


def run_node(
    create: Callable[[Interruption], LifecycleNode], args: list[str] | None = None
) -> int:
    """
    Run a managed node until SIGINT or SIGTERM; returns the exit code, 0 unless it can't start.

    create: makes the node, which gives up waiting once the interruption is requested. It has
    `autostart` (whether it is configured and activated first), `finalized` (whether it was shut
    down already) and `hangs` (whether a call that can't be interrupted has not returned).
    The signals are handled here and not by rclpy, so that the node can still publish its last
    diagnostics.
    """
    interruption = Interruption()
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = create(interruption)
    except ParameterException as error:
        print(f'not started: {error}', file=sys.stderr)
        rclpy.try_shutdown()
        return 1
    executor = create_executor()
    executor.add_node(node)
    if (
        node.autostart
        and not interruption.requested
        and node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        and not interruption.requested
    ):
        node.trigger_activate()
    while not interruption.requested:
        executor.spin_once(timeout_sec=WAKE_UP)
    if not node.finalized:
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
