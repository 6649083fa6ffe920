"""The one thread that owns the engine, from opening it to closing it."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from typing import Any

from superpoint_rknn.extractor import Extractor, Settings
from superpoint_rknn.nodes.mailbox import Mailbox
from superpoint_rknn.runtimes.runtime import EngineError, ModelError, Runtime

FAILURES_BEFORE_REOPENING = 5
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # [s] between attempts to reopen a failing engine
SLOW = 5.0  # [s] after which an engine that doesn't answer is reported


class Worker(threading.Thread):
    """
    Opens an engine, has each item of a mailbox handled, closes the engine.

    A call into an engine can't be interrupted: a worker that hangs in one is left behind as a
    daemon thread, with the engine, which is never closed while in use.

    open_runtime: opens the engine; called in this thread, again after failures in a row.
    handle: called with each item and the extractor; raises RuntimeError if the engine failed.
    log: of the node.
    """

    def __init__(
        self,
        open_runtime: Callable[[], Runtime],
        handle: Callable[[Any, Extractor], None],
        settings: Settings,
        log: Any,
    ):
        super().__init__(name='superpoint_worker', daemon=True)
        self.mailbox: Mailbox = Mailbox()
        self.extractor: Extractor | None = None  # None until opened
        self._trouble: str | None = None
        self.opened = threading.Event()  # set once opened, or failed to
        self.reopened = 0
        self._open_runtime = open_runtime
        self._handle = handle
        self._settings = settings
        self._log = log
        self._stopping = threading.Event()
        self._runtime: Runtime | None = None  # None while closed

    @property
    def trouble(self) -> str | None:
        """What keeps the engine from working now, if anything."""
        seconds = self.mailbox.busy_for()
        if self._trouble is None and seconds > SLOW:
            return f'the engine has not answered for {seconds:.0f} s'
        return self._trouble

    def apply(self, settings: Settings) -> None:
        """Use these settings from the next image on."""
        self._settings = settings
        if self.extractor is not None:
            self.extractor.settings = settings

    def stop(self, timeout: float) -> bool:
        """End the thread and close the engine; False if it still hangs after `timeout` [s]."""
        self._stopping.set()
        self.mailbox.close()
        self.join(timeout)
        return not self.is_alive()

    def run(self) -> None:
        try:
            self._open()
        except (EngineError, ModelError, OSError, ValueError) as error:
            self._trouble = str(error)
            return
        finally:
            self.opened.set()
        try:
            self._work()
        finally:
            self._close()

    def _open(self) -> None:
        self._runtime = self._open_runtime()
        self.extractor = Extractor(self._runtime, self._settings)

    def _close(self) -> None:
        runtime, self._runtime = self._runtime, None
        if runtime is not None:
            runtime.close()

    def _work(self) -> None:
        failures = 0
        while (item := self.mailbox.take()) is not None:
            try:
                self._handle(item, self.extractor)
                failures, self._trouble = 0, None
            except RuntimeError as error:
                failures += 1
                self._log.error(f'inference failed: {error}', throttle_duration_sec=5.0)
                self._trouble = f'{failures} inferences in a row failed: {error}'
            except Exception:
                self._log.error(f'image given up:\n{traceback.format_exc()}')
            if failures >= FAILURES_BEFORE_REOPENING:
                self._reopen()
                failures = 0

    def _reopen(self) -> None:
        """Close the engine and open it anew, with growing pauses, until it opens or we stop."""
        pause = FIRST_PAUSE
        self._close()
        while not self._stopping.wait(pause):
            try:
                self._open()
            except (EngineError, ModelError, OSError) as error:
                pause = min(2 * pause, LONGEST_PAUSE)
                self._trouble = f'the engine does not open again: {error}'
                self._log.error(f'{self._trouble}; next attempt in {pause:g} s')
            else:
                self.reopened += 1
                self._log.warning('the engine was closed and opened again after failures')
                return
