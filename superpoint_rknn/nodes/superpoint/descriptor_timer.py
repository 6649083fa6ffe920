"""The timer that publishes descriptors, 5 times a second by default."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from superpoint_rknn.nodes.common.managed_node import ManagedNode


class DescriptorTimer:
    """
    Calls functions in turn, each `rate` times a second, in a callback of its own.

    The timer runs in the executor, on the steady clock: under use_sim_time without /clock the
    node's own clock stands still.
    turns: one function for each camera. Spread over the period, they delay images less than all
    at once.
    """

    def __init__(self, node: ManagedNode, turns: Sequence[Callable[[], None]], rate: float):
        self._node = node
        self._turns = itertools.cycle(turns)
        self._timer = node.create_timer(
            1.0 / (rate * len(turns)), self._publish_next, clock=node.steady_clock
        )

    def stop(self) -> None:
        """Call no more, not even where a call is due."""
        self._node.end_timer(self._timer)

    def _publish_next(self) -> None:
        next(self._turns)()
