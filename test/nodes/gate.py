"""Block a node's inferences until the test releases them, so that no test depends on speed."""

import socket
from pathlib import Path

from ros_graph import TIMEOUT


class Gate:
    """
    Blocks the inferences of a node that was started with `program`.

    It is open at first: inferences run freely.
    """

    def __init__(self, path):
        self.program = (Path(__file__).with_name('gated_node.py'), path)
        self._path = path
        self._listener = None
        self._blocked = None

    def close(self):
        """Block every inference that starts from now on."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._path))
        self._listener.listen()
        self._listener.settimeout(TIMEOUT)

    def wait(self):
        """Wait until an inference is blocked."""
        self._blocked, _ = self._listener.accept()

    def release_one(self):
        """Release the inference that `wait` returned for."""
        self._blocked.close()

    def open(self):
        """Release all inferences."""
        if self._listener is not None:
            self._path.unlink()
            self._listener.close()
            self._listener = None
        if self._blocked is not None:
            self._blocked.close()
