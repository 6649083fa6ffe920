"""Configure and activate nodes at start, and again while something they need is missing."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rclpy.lifecycle import TransitionCallbackReturn

from superpoint_rknn.errors import NotReadyError
from superpoint_rknn.nodes.common.managed_node import ManagedNode

MIN_PAUSE, MAX_PAUSE = 1.0, 30.0  # [s] before each new attempt
LOAD_WAIT = 0.02  # [s] for a runtime that is being opened, in each step; callbacks wait so long


class BringUp:
    """
    Configures and activates nodes in small steps between the callbacks of an executor.

    A node that fails with a NotReadyError is tried again after growing pauses; after any other
    error, as soon as one of its parameters is set. Until then /diagnostics has the reason.
    A node that is configured by a lifecycle manager meanwhile is left to it.
    nodes: the first one publishes for the others: it is activated last, unless they fail.
    """

    def __init__(self, nodes: Sequence[ManagedNode]):
        self._starts = [_Start(node) for node in nodes]

    @property
    def done(self) -> bool:
        """True if no node is left to bring up."""
        return all(start.done for start in self._starts)

    @property
    def is_loading(self) -> bool:
        """True if `step` waits for a runtime that is being opened."""
        return any(start.is_loading for start in self._starts)

    def step(self) -> None:
        """Continue; call it in the thread of the executor until `done`."""
        for start in self._starts:
            start.begin()
        for start in self._starts[::-1]:
            start.finish()


class _Start:
    """The start of one node."""

    def __init__(self, node: ManagedNode):
        self.done = False
        self._node = node
        self._error: Exception | None = None  # of the last attempt; None during an attempt
        self._next_attempt = 0.0  # [s], time.monotonic
        self._pause = MIN_PAUSE
        self._has_waited = False

    def begin(self) -> None:
        """Begin an attempt if one is due."""
        node = self._node
        self.done = self.done or node.configured or node.finalized
        if self.done or not self._is_due:
            return
        self._error = None
        try:
            node.begin_configure()
        except Exception as error:
            self._fail(error)

    def finish(self) -> None:
        """End an attempt if the node is loaded: configure and activate it."""
        if self.done:
            return
        if self._error is not None:
            self._report_failure(self._error)
            return
        try:
            if not self._node.is_loaded(LOAD_WAIT):
                self._node.report_loading()
                return
        except Exception as error:
            self._fail(error)
            return
        for transition in (self._node.trigger_configure, self._node.trigger_activate):
            if transition() != TransitionCallbackReturn.SUCCESS:
                self._fail(self._node.refusal or RuntimeError('the transition failed'))
                return
        self.done = True

    @property
    def is_loading(self) -> bool:
        """True during an attempt."""
        return not self.done and self._error is None

    @property
    def _is_due(self) -> bool:
        if self._error is None or self._node.has_new_parameters:
            return True
        return isinstance(self._error, NotReadyError) and time.monotonic() >= self._next_attempt

    def _fail(self, error: Exception) -> None:
        self._node.refuse(error)
        self._error = error
        if not isinstance(error, NotReadyError):
            return
        if not self._has_waited:
            self._has_waited = True
            self._node.file_log.info(
                f'trying again, after pauses of {MIN_PAUSE:g} to {MAX_PAUSE:g} s'
            )
        self._next_attempt = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, MAX_PAUSE)

    def _report_failure(self, error: Exception) -> None:
        seconds = max(0.0, self._next_attempt - time.monotonic())
        self._node.report_failure(error, seconds if isinstance(error, NotReadyError) else None)
