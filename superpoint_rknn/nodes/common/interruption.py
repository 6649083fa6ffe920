"""Signals that end a node's process: SIGINT and SIGTERM."""

from __future__ import annotations

import os
import signal

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def exit_on_signals() -> None:
    """Let SIGINT and SIGTERM end the process at once, while there is nothing to clean up."""
    for number in SIGNALS:
        signal.signal(number, lambda number, _: os._exit(128 + number))


class Interruption:
    """Flag that is set by SIGINT and SIGTERM; a further SIGINT ends the process at once."""

    def __init__(self) -> None:
        self.requested = False
        for number in SIGNALS:
            signal.signal(number, self._request)

    def _request(self, number: int, _: object) -> None:
        if self.requested and number == signal.SIGINT:
            os._exit(128 + number)
        self.requested = True
