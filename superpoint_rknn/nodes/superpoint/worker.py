"""The inference thread: the only owner of the NPU, from opening the runtime to closing it."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from typing import Any

from superpoint_rknn.nodes.superpoint.mailbox import Mailbox
from superpoint_rknn.nodes.superpoint.pipeline import ImagePipeline
from superpoint_rknn.nodes.superpoint.stereo import StereoPipeline
from superpoint_rknn.runtimes.runtime import Runtime

FAILURES_BEFORE_REOPENING = 5  # in a row
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # [s] before a failing runtime is opened again
SLOW = 5.0  # [s] after which an inference that has not returned is reported


class Worker(threading.Thread):
    """
    Opens a runtime, has the pipelines process what the mailbox holds, closes the runtime.

    A call into a runtime can't be interrupted: a worker that is blocked in one is left behind as
    a daemon thread together with the runtime, which is never closed while in use.

    open_runtime: opens the runtime; called in this thread, again after failures in a row.
    mailbox: a slot for each pipeline; `process` of the pipeline gets the item and the runtime.
    log: of the node.
    """

    def __init__(
        self,
        open_runtime: Callable[[], Runtime],
        mailbox: Mailbox[ImagePipeline | StereoPipeline, Any],
        log: Any,
    ):
        super().__init__(name='superpoint_worker', daemon=True)
        self.mailbox = mailbox
        self.runtime: Runtime | None = None  # opened last, maybe closed since
        self.opened = threading.Event()  # set once opened, or failed to
        self.reopened = 0
        self._error_message: str | None = None
        self._open_runtime = open_runtime
        self._log = log
        self._stopping = threading.Event()
        self._pause = FIRST_PAUSE

    @property
    def error_message(self) -> str | None:
        """What keeps the runtime from working now, if anything."""
        seconds = self.mailbox.busy_for()
        if self._error_message is None and seconds > SLOW:
            return f'the inference has not returned for {seconds:.0f} s'
        return self._error_message

    @property
    def is_blocked(self) -> bool:
        """True while the thread has not ended, after `stop`: a call has not returned."""
        return self.is_alive()

    def stop(self, timeout: float) -> bool:
        """End the thread and close the runtime; False if it is blocked for `timeout` [s]."""
        self._stopping.set()
        self.mailbox.close()
        self.join(timeout)
        return not self.is_alive()

    def run(self) -> None:
        """Open the runtime, work until `stop`, close the runtime."""
        try:
            runtime = self._open()
        except Exception as error:  # whatever it is, configure reports it
            self._log.debug(traceback.format_exc())
            self._error_message = str(error)
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
        except Exception as error:  # whatever it is, opening it again will show
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
                    failures, self._error_message, self._pause = 0, None, FIRST_PAUSE
            if failures >= FAILURES_BEFORE_REOPENING:
                failures = 0
                self._close(runtime)
                reopened = self._reopen()
                if reopened is None:
                    return
                runtime = reopened
        self._close(runtime)

    def _reopen(self) -> Runtime | None:
        """Open the runtime again, with growing pauses, until it opens; None once stopped."""
        while not self._stopping.wait(self._pause):
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            try:
                runtime = self._open()
            except Exception as error:  # whatever it is, it may pass
                self._error_message = f'the runtime could not be opened again: {error}'
                self._log.error(f'{self._error_message}; next attempt in {self._pause:g} s')
            else:
                self.reopened += 1
                self._log.warning('the runtime was closed and opened again after failures')
                return runtime
        return None
