"""The inference thread: the only owner of the NPU, from opening the runtime to closing it."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from superpoint_rknn.nodes.common.diagnostics import THROTTLE
from superpoint_rknn.nodes.common.managed_node import LOADING_TIMEOUT
from superpoint_rknn.nodes.common.running_clock import RunningClock
from superpoint_rknn.nodes.superpoint.mailbox import Mailbox
from superpoint_rknn.nodes.superpoint.network_check import NetworkCheck
from superpoint_rknn.nodes.superpoint.pipeline import ImagePipeline
from superpoint_rknn.nodes.superpoint.stereo import StereoPipeline
from superpoint_rknn.runtimes.runtime import Runtime

FAILURES_BEFORE_REOPENING = 5  # more than successes
MIN_RETRY_PAUSE, MAX_RETRY_PAUSE = 0.5, 30.0  # [s] before each retry to reopen the runtime
LOST_AFTER = 3  # timeouts of a call after which it is not expected to return any more


class Worker(threading.Thread):
    """
    Thread that opens the runtime, passes the mailbox's items to their pipelines, closes it.

    On an NPU error (RuntimeError of an inference) the image is counted as failed. After
    FAILURES_BEFORE_REOPENING more errors than successes the runtime is closed and reopened; failed
    attempts are retried with growing pauses.
    A runtime call can't be interrupted: a worker that is blocked in one is abandoned as a daemon
    thread, together with the runtime, which is never closed while in use.

    open_runtime: opens the runtime; called in this thread.
    mailbox: its slots are the pipelines and the check of the network; `process` is called with
    each item and the runtime.
    log: logger of the node.
    timeout: returns the timeout of an inference [s] after the first one that worked; until then
    each call has LOADING_TIMEOUT.
    """

    def __init__(
        self,
        open_runtime: Callable[[], Runtime],
        mailbox: Mailbox[NetworkCheck | ImagePipeline | StereoPipeline, Any],
        log: Any,
        timeout: Callable[[], float],
    ):
        super().__init__(name='superpoint_worker', daemon=True)
        self.mailbox = mailbox
        self.runtime: Runtime | None = None  # the last one; it may be closed
        self.opened = threading.Event()  # set when opening succeeded or failed
        self.reopened = 0
        self.open_error: Exception | None = None  # of the first attempt
        self._error_message: str | None = None
        self._open_runtime = open_runtime
        self._log = log
        self._timeout = timeout
        self._has_worked = False  # since the runtime was opened
        self._call: tuple[str, float] | None = None  # that is running; its start [s]
        self._clock = RunningClock()  # a process that was stopped may still be in a call
        self._stopping = threading.Event()
        self._pause = MIN_RETRY_PAUSE

    @property
    def error_message(self) -> str | None:
        """Reason why the runtime does not work now; None if it works."""
        return self._error_message or (self.call_message if self.is_hung else None)

    @property
    def call_message(self) -> str | None:
        """Text that a runtime call has not returned yet; None if none is running."""
        call = self._call
        if call is None:
            return None
        return f'{call[0]} has not returned for {self._clock() - call[1]:.0f} s'

    @property
    def is_hung(self) -> bool:
        """True while a runtime call takes longer than its timeout."""
        return self._timeouts > 1

    @property
    def is_lost(self) -> bool:
        """True while a runtime call takes so long that only a new process helps."""
        return self._timeouts > LOST_AFTER

    @property
    def _timeouts(self) -> float:
        """Duration of the running call so far, in units of its timeout; read it every second."""
        call = self._call
        if call is None:
            return 0.0
        limit = self._timeout() if self._has_worked else LOADING_TIMEOUT
        return (self._clock() - call[1]) / limit

    @property
    def stopping(self) -> bool:
        """True once `stop` was called."""
        return self._stopping.is_set()

    @property
    def is_blocked(self) -> bool:
        """True while the thread runs; after `stop`: while a runtime call is blocked."""
        return self.is_alive()

    def stop(self, timeout: float) -> bool:
        """End the thread and close the runtime; return False if blocked after `timeout` [s]."""
        self._stopping.set()
        self.mailbox.close()
        self.join(timeout)
        return not self.is_alive()

    def run(self) -> None:
        """Open the runtime, process items until `stop`, close the runtime."""
        try:
            runtime = self._open()
        except Exception as error:  # of any kind: configure reports it
            self.open_error = error
            return
        finally:
            self.opened.set()
        self._work(runtime)

    @contextmanager
    def _running(self, call: str) -> Iterator[None]:
        self._call = call, self._clock()
        try:
            yield
        finally:
            self._call = None

    def _open(self) -> Runtime:
        self._has_worked = False
        with self._running('opening the runtime'):
            self.runtime = runtime = self._open_runtime()
        return runtime

    def _close(self, runtime: Runtime) -> None:
        try:
            with self._running('closing the runtime'):
                runtime.close()
        except Exception as error:  # of any kind: reopening shows whether it matters
            self._log.warning(f'the runtime could not be closed: {error}')

    def _work(self, runtime: Runtime) -> None:
        failures = 0  # more than successes
        while (taken := self.mailbox.take()) is not None:
            pipeline, item = taken
            try:
                with self._running('the inference'):
                    worked = pipeline.process(item, runtime)
            except RuntimeError as error:
                failures += 1
                self._error_message = f'inference failed: {error}'
                self._log.error(f'inference failed: {error}', **THROTTLE)
            except Exception:
                self._log.error(f'image dropped:\n{traceback.format_exc()}')
            else:
                if worked:
                    self._has_worked = True
                    failures = max(0, failures - 1)
                    if failures == 0:
                        self._error_message, self._pause = None, MIN_RETRY_PAUSE
            if failures >= FAILURES_BEFORE_REOPENING:
                failures = 0
                self._close(runtime)
                reopened = self._reopen()
                if reopened is None:
                    return
                runtime = reopened
        self._close(runtime)

    def _reopen(self) -> Runtime | None:
        """Reopen the runtime, retry with growing pauses; return None if stopped meanwhile."""
        while not self._stopping.wait(self._pause):
            self._pause = min(2 * self._pause, MAX_RETRY_PAUSE)
            try:
                runtime = self._open()
            except Exception as error:  # of any kind: it may be temporary
                self._error_message = f'the runtime could not be reopened: {error}'
                self._log.error(f'{self._error_message}; next attempt in {self._pause:g} s')
            else:
                self.reopened += 1
                self._log.warning('the runtime was closed and reopened after failed inferences')
                return runtime
        return None
