"""The inference thread: the only owner of the NPU, from opening the runtime to closing it."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from typing import Any

from superpoint_rknn.nodes.superpoint.mailbox import Mailbox
from superpoint_rknn.nodes.superpoint.network_check import NetworkCheck
from superpoint_rknn.nodes.superpoint.pipeline import ImagePipeline
from superpoint_rknn.nodes.superpoint.stereo import StereoPipeline
from superpoint_rknn.runtimes.runtime import Runtime

FAILURES_BEFORE_REOPENING = 5  # in a row
MIN_RETRY_PAUSE, MAX_RETRY_PAUSE = 0.5, 30.0  # [s] before each retry to reopen the runtime
SLOW_INFERENCE = 5.0  # [s] after which a running inference is reported as blocked


class Worker(threading.Thread):
    """
    Thread that opens the runtime, passes the mailbox's items to their pipelines, closes it.

    On an NPU error (RuntimeError of an inference) the image is counted as failed. After
    FAILURES_BEFORE_REOPENING errors in a row the runtime is closed and reopened; failed attempts
    are retried with growing pauses.
    A runtime call can't be interrupted: a worker that is blocked in one is abandoned as a daemon
    thread, together with the runtime, which is never closed while in use.

    open_runtime: opens the runtime; called in this thread.
    mailbox: its slots are the pipelines and the check of the network; `process` is called with
    each item and the runtime.
    log: logger of the node.
    """

    def __init__(
        self,
        open_runtime: Callable[[], Runtime],
        mailbox: Mailbox[NetworkCheck | ImagePipeline | StereoPipeline, Any],
        log: Any,
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
        self._stopping = threading.Event()
        self._pause = MIN_RETRY_PAUSE

    @property
    def error_message(self) -> str | None:
        """Reason why the runtime does not work now; None if it works."""
        seconds = self.mailbox.busy_for()
        if self._error_message is None and seconds > SLOW_INFERENCE:
            return f'the inference has not returned for {seconds:.0f} s'
        return self._error_message

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

    def _open(self) -> Runtime:
        self.runtime = runtime = self._open_runtime()
        return runtime

    def _close(self, runtime: Runtime) -> None:
        try:
            runtime.close()
        except Exception as error:  # of any kind: reopening shows whether it matters
            self._log.warning(f'the runtime could not be closed: {error}')

    def _work(self, runtime: Runtime) -> None:
        failures = 0  # in a row
        while (taken := self.mailbox.take()) is not None:
            pipeline, item = taken
            try:
                worked = pipeline.process(item, runtime)
            except RuntimeError as error:
                failures += 1
                self._error_message = f'{failures} inferences in a row failed: {error}'
                self._log.error(f'inference failed: {error}', throttle_duration_sec=5.0)
            except Exception:
                self._log.error(f'image dropped:\n{traceback.format_exc()}')
            else:
                if worked:
                    failures, self._error_message, self._pause = 0, None, MIN_RETRY_PAUSE
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
