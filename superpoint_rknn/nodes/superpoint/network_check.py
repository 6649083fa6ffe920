"""Warnings of a node about its network: at loading, and from a test on the built-in image."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from superpoint_rknn.runtimes.outputs import network_faults
from superpoint_rknn.runtimes.runtime import Runtime


class NetworkCheck:
    """
    A slot of the mailbox whose item makes the inference thread check the network.

    It is put at the first activation. So the check does not delay the node's start, and a blocked
    or failing inference is treated as that of an image.
    log: logger of the node.
    """

    def __init__(self, log: Any):
        self._log = log

    def process(self, item: None, runtime: Runtime) -> bool:
        """Warn if the outputs for the built-in image are implausible; True: `runtime` was used."""
        for fault in network_faults(runtime):
            self._log.warning(fault)
        return True

    def drop(self, item: None) -> None:
        """Skip the check."""


class _RosHandler(logging.Handler):
    def __init__(self, log: Any):
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.warning(self.format(record))


@contextmanager
def warnings_to(log: Any) -> Iterator[None]:
    """Pass the warnings that this package's modules log to the logger of a node, too."""
    handler = _RosHandler(log)
    package = logging.getLogger('superpoint_rknn')
    package.addHandler(handler)
    try:
        yield
    finally:
        package.removeHandler(handler)
