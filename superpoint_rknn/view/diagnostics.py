"""What /diagnostics and odometry become in the viewer."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus

from superpoint_rknn.features.rate import RateLimiter
from superpoint_rknn.nodes.common.diagnostics import counts_of
from superpoint_rknn.view import records

MISSING = ('dropped', 'failed', 'lost')  # counters of images
LEVELS = {
    DiagnosticStatus.OK: 'INFO',
    DiagnosticStatus.WARN: 'WARN',
    DiagnosticStatus.ERROR: 'ERROR',
}
PATH_RATE = 10.0  # [Hz] at most
PATH_LENGTH = 4000  # positions at most; beyond every second one is discarded


class DiagnosticsView:
    """Plot the counters and stage timings of /diagnostics and log its messages."""

    def __init__(self, send: Callable[..., None]):
        self._send = send
        self._counts: dict[str, dict[str, int]] = {}  # by name of the status
        self._messages: dict[str, tuple[bytes, str]] = {}  # newest by name of the status

    def on_status(self, status: DiagnosticStatus) -> None:
        """Send what a status of one of this package's nodes says."""
        now, entity = time.time(), entity_of(status.name)
        values = {value.key: value.value for value in status.values}
        if self._messages.get(status.name) != (status.level, status.message):
            self._messages[status.name] = (status.level, status.message)
            level = LEVELS.get(status.level, 'WARN')
            text = f'{entity}: {status.message}'
            self._send(records.record('text', '/diagnostics', now, text=text, level=level))
        stages = {k.removesuffix('_ms'): float(v) for k, v in values.items() if k.endswith('_ms')}
        self._send(records.scalars(f'/stages_ms/{entity}', now, stages))
        counts = {key: count for key, count in counts_of(status).items() if key in MISSING}
        before = self._counts.get(status.name, counts)
        self._counts[status.name] = counts
        # Below 0 after a restart of the node. Lines that were always 0 would only hide others.
        rises = {
            key: max(0, n - before.get(key, n))
            for key, n in counts.items()
            if key == 'dropped' or n or before.get(key)
        }
        self._send(records.scalars(f'/missing/{entity}', now, rises))


def entity_of(name: str) -> str:
    """Return the place of a status in the plots: '/cam0/tracker: camera' -> 'cam0/tracker'."""
    node, _, title = name.strip('/').partition(': ')
    return node if title in ('camera', 'state', '') else f'{title}/{node}'


class PathView:
    """Show positions as a path, and the newest pose as axes."""

    def __init__(self, name: str, send: Callable[..., None]):
        self._entity = f'/world/{name}'
        self._send = send
        self._limiter = RateLimiter()
        self._positions: list[np.ndarray] = []
        self._send(
            records.record('axes', f'{self._entity}/body', time.time(), static=True, length=0.2)
        )

    def add(self, position: np.ndarray, quaternion: np.ndarray) -> None:
        """Add a pose: position (3,) [m], quaternion (4,) x, y, z, w."""
        if not self._limiter.select_if_due(time.monotonic_ns(), PATH_RATE):
            return
        self._positions.append(position)
        if len(self._positions) > PATH_LENGTH:
            self._positions = self._positions[::2]
        now, path = time.time(), np.array(self._positions, np.float32)
        self._send(
            records.record('path', f'{self._entity}/path', now, points=path),
            records.record(
                'pose', f'{self._entity}/body', now, position=position, quaternion=quaternion
            ),
        )
