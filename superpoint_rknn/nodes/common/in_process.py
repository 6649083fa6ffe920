"""Channels that pass objects between the nodes of one process, without serialisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from superpoint_rknn.msg import Descriptors, Keypoints
from superpoint_rknn.nodes.common.messages import ReceivedImage

T = TypeVar('T')


class Channel(Generic[T]):
    """
    Channel that calls its subscribers with each object that is sent, in the sender's thread.

    All subscribers get the same object: they must not change it, and should only store it.
    """

    def __init__(self) -> None:
        self._subscribers: tuple[Callable[[T], None], ...] = ()

    def __bool__(self) -> bool:
        """Return True if there are subscribers."""
        return bool(self._subscribers)

    def subscribe(self, subscriber: Callable[[T], None]) -> None:
        """Call `subscriber` with each object that is sent from now on."""
        self._subscribers = (*self._subscribers, subscriber)

    def unsubscribe(self, subscriber: Callable[[T], None]) -> None:
        """Stop calling `subscriber`. Raises ValueError if it is not subscribed."""
        subscribers = list(self._subscribers)
        subscribers.remove(subscriber)
        self._subscribers = tuple(subscribers)

    def send(self, item: T) -> None:
        """Call all subscribers with `item`."""
        for subscriber in self._subscribers:
            subscriber(item)


class InProcessTopics:
    """Channels of one camera: received images and published messages."""

    def __init__(self) -> None:
        self.images: Channel[ReceivedImage] = Channel()  # sent in the executor thread
        self.keypoints: Channel[Keypoints] = Channel()  # in the inference thread
        self.descriptors: Channel[Descriptors] = Channel()  # in the executor thread
        self.tracks: Channel[Keypoints] = Channel()  # in the tracker thread


class InProcessCameras(dict[str, InProcessTopics]):
    """
    InProcessTopics of each camera by its name, created on first use.

    Shared by the superpoint node, the tracker node and FrontEnd.
    """

    def __init__(self) -> None:
        super().__init__()
        self._groups: dict[str, list[list[str]]] = {}  # of each configured node

    def check_groups(self, node: str, groups: list[list[str]]) -> None:
        """
        Set the cameras or stereo pairs of a node that is configured.

        Raises ValueError if the other node of this process has others.
        """
        for name, others in self._groups.items():
            if name != node and others != groups:
                raise ValueError(f'cameras, stereo: {groups}, {name} has {others}')
        self._groups[node] = groups

    def forget_groups(self, node: str) -> None:
        """Let a node that is no longer configured have other cameras next time."""
        self._groups.pop(node, None)

    def __missing__(self, camera: str) -> InProcessTopics:
        return self.setdefault(camera, InProcessTopics())
