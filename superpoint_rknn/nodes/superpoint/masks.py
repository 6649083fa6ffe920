"""Masks of the cameras, read from their files outside the executor."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from superpoint_rknn.features.image import read_mask
from superpoint_rknn.nodes.common.background_read import BackgroundRead

Masks = dict[str, 'np.ndarray | None']  # (height, width) uint8 by the name of the camera


class MaskReader:
    """
    Reads the masks of all cameras; one read at a time.

    All methods are called in the executor's thread.
    """

    def __init__(self) -> None:
        self._paths: dict[str, str] = {}  # by camera, that are being read
        self._read: BackgroundRead[dict[str, np.ndarray]] | None = None
        self._next: dict[str, str] | None = None  # paths that were set meanwhile

    def request(self, paths: Mapping[str, str]) -> None:
        """
        Begin to read masks; a request that has not ended is replaced.

        paths: of the masks by camera; '': it has none.
        """
        if self._read is None:
            self._begin(dict(paths))
        else:
            self._next = dict(paths)

    def take(self, timeout: float = 0.0) -> Masks | None:
        """
        Return the masks of the last request once; None if they are not read after `timeout` [s].

        Raises ValueError with path and reason if one is no mask.
        """
        while self._read is not None and self._read.wait(timeout):
            read, self._read = self._read, None
            if self._next is None:
                found = read.result()
                return {camera: found.get(path) for camera, path in self._paths.items()}
            self._begin(self._next)
        return None

    def forget(self) -> None:
        """Forget the requests."""
        self._read = self._next = None

    def _begin(self, paths: dict[str, str]) -> None:
        self._paths, self._next = paths, None
        wanted = sorted({path for path in paths.values() if path})
        self._read = BackgroundRead(
            lambda: {path: read_mask(path) for path in wanted},
            f'mask: {", ".join(wanted)}',
        )
