"""Decides when a node's inferences begin, so that no test depends on how fast they are."""

import socket
from pathlib import Path

TIMEOUT = 30.0  # [s]


class Gate:
    """
    Holds the inferences of a node that was started with `program`.

    It is open at first: inferences run freely.
    """

    def __init__(self, path):
        self.program = (Path(__file__).with_name('gated_node.py'), path)
        self._path = path
        self._listener = None
        self._held = None

    def close(self):
        """Hold every inference that begins from now on."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._path))
        self._listener.listen()
        self._listener.settimeout(TIMEOUT)

    def wait(self):
        """Wait until an inference is held."""
        self._held, _ = self._listener.accept()

    def let_one_go(self):
        """Let go the inference that was waited for."""
        self._held.close()

    def open(self):
        """Hold none any more."""
        if self._listener is not None:
            self._path.unlink()
            self._listener.close()
            self._listener = None
        if self._held is not None:
            self._held.close()
