"""The one thread that owns the engine, from opening it to closing it."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from typing import Any

from superpoint_rknn.nodes.superpoint.mailbox import Mailbox
from superpoint_rknn.runtimes.runtime import Runtime

FAILURES_BEFORE_REOPENING = 5
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # [s] before a failing engine is opened again
SLOW = 5.0  # [s] after which an engine that doesn't answer is reported


class Worker(threading.Thread):
    """
    Opens an engine, has each job of a mailbox done, closes the engine.

    A call into an engine can't be interrupted: a worker that hangs in one is left behind as a
    daemon thread, with the engine, which is never closed while in use.

    open_runtime: opens the engine; called in this thread, again after failures in a row.
    mailbox: of jobs, which are called with the engine, return whether it worked (not, if it wasn't
    needed), and raise RuntimeError if it failed.
    log: of the node.
    """

    def __init__(
        self,
        open_runtime: Callable[[], Runtime],
        mailbox: Mailbox[Callable[[Runtime], bool]],
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
        self._open_one: Runtime | None = None  # None while closed
        self._pause = FIRST_PAUSE

    @property
    def error_message(self) -> str | None:
        """What keeps the engine from working now, if anything."""
        seconds = self.mailbox.busy_for()
        if self._error_message is None and seconds > SLOW:
            return f'the engine has not answered for {seconds:.0f} s'
        return self._error_message

    def stop(self, timeout: float) -> bool:
        """End the thread and close the engine; False if it still hangs after `timeout` [s]."""
        self._stopping.set()
        self.mailbox.close()
        self.join(timeout)
        return not self.is_alive()

    def run(self) -> None:
        try:
            self._open()
        except Exception as error:  # whatever it is, configure reports it
            self._log.debug(traceback.format_exc())
            self._error_message = str(error)
            return
        finally:
            self.opened.set()
        try:
            self._work()
        finally:
            self._close()

    def _open(self) -> None:
        self.runtime = self._open_one = self._open_runtime()

    def _close(self) -> None:
        runtime, self._open_one = self._open_one, None
        if runtime is None:
            return
        try:
            runtime.close()
        except Exception as error:  # whatever it is, the next attempt to open one will tell
            self._log.warning(f'the engine could not be closed: {error}')

    def _work(self) -> None:
        failures = 0
        while (job := self.mailbox.take()) is not None:
            try:
                worked = job(self.runtime)
            except RuntimeError as error:
                failures += 1
                self._error_message = f'{failures} inferences in a row failed: {error}'
                self._log.error(f'inference failed: {error}', throttle_duration_sec=5.0)
            except Exception:
                self._log.error(f'image given up:\n{traceback.format_exc()}')
            else:
                if worked:
                    failures, self._error_message, self._pause = 0, None, FIRST_PAUSE
            if failures >= FAILURES_BEFORE_REOPENING:
                self._reopen()
                failures = 0

    def _reopen(self) -> None:
        """Close the engine and open it anew, with growing pauses, until it opens or we stop."""
        self._close()
        while not self._stopping.wait(self._pause):
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            try:
                self._open()
            except Exception as error:  # whatever it is, it may pass
                self._error_message = f'the engine does not open again: {error}'
                self._log.error(f'{self._error_message}; next attempt in {self._pause:g} s')
            else:
                self.reopened += 1
                self._log.warning('the engine was closed and opened again after failures')
                return
