"""Messages that are lost in transport, by the numbers that publishers give them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import wraps
from typing import Any

from rclpy.node import Node
from rclpy.subscription import Subscription

# From Iron on, a callback may take the message info (sequence number) as a second argument.
HAS_MESSAGE_INFO = hasattr(Subscription, 'CallbackType')
WINDOW = 20  # newest messages whose order shows several publishers


class MessageNumbers:
    """
    Counts lost messages of a topic as gaps in their publication sequence numbers.

    Each publisher numbers its own messages: while a topic has several, a gap means nothing.
    topic: full name.
    """

    def __init__(self, node: Node, topic: str):
        self.are_known = False  # True while messages are numbered and have one publisher
        self._node = node
        self._topic = topic
        self._last: int | None = None
        self._had_several = False  # publishers
        self._steps_back: deque[bool] = deque(maxlen=WINDOW)

    @property
    def are_mixed(self) -> bool:
        """True if several publishers send: numbers run back again and again."""
        return sum(self._steps_back) > 1  # once: the publisher was started again

    def lost_before(self, info: dict[str, Any]) -> int | None:
        """Return how many messages were lost before the one with this info; None if unknown."""
        number = info.get('publication_sequence_number')
        if number is None:
            return None
        last, self._last = self._last, number
        self._steps_back.append(last is not None and number <= last)
        if last is not None and number == last + 1:
            return 0 if self.are_known else None
        several = self._node.count_publishers(self._topic) > 1
        had_several, self._had_several = self._had_several, several
        self.are_known = not several
        if several:
            return None
        if had_several or last is None or number <= last:
            return 0
        return number - last - 1


def with_info(
    on_message: Callable[[Any, dict[str, Any] | None], None],
) -> Callable[..., None]:
    """
    Return a subscription callback that passes the message and its info; None where rclpy has none.

    The EventsExecutor passes both as one tuple.
    """
    if not HAS_MESSAGE_INFO:
        return lambda message: on_message(message, None)

    @wraps(on_message)  # rclpy inspects the parameters
    def call(*received: Any) -> None:
        message, info = received[0] if len(received) == 1 else received
        on_message(message, info)

    return call
