"""Channels between the nodes of one process: objects are passed instead of messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from superpoint_rknn.msg import Descriptors, Keypoints
from superpoint_rknn.nodes.common.messages import ReceivedImage

T = TypeVar('T')


class Channel(Generic[T]):
    """
    Calls its subscribers with each object that is sent, in the sender's thread.

    A subscriber only stores the object and does not change it: all get the same one.
    """

    def __init__(self) -> None:
        self._listeners: tuple[Callable[[T], None], ...] = ()

    def __bool__(self) -> bool:
        """Return True if there are subscribers."""
        return bool(self._listeners)

    def subscribe(self, listener: Callable[[T], None]) -> None:
        """Call `listener` with all that is sent from now on."""
        self._listeners = (*self._listeners, listener)

    def unsubscribe(self, listener: Callable[[T], None]) -> None:
        """Call `listener` no more. Raises ValueError if it never subscribed."""
        listeners = list(self._listeners)
        listeners.remove(listener)
        self._listeners = tuple(listeners)

    def send(self, item: T) -> None:
        """Call all listeners with an object."""
        for listener in self._listeners:
            listener(item)


class InProcessTopics:
    """The channels of one camera: every image as it arrives, and what is published of it."""

    def __init__(self) -> None:
        self.images: Channel[ReceivedImage] = Channel()  # sent by the executor's thread
        self.keypoints: Channel[Keypoints] = Channel()  # by the inference thread
        self.descriptors: Channel[Descriptors] = Channel()  # by the executor's thread
        self.tracks: Channel[Keypoints] = Channel()  # by the tracker's thread


class InProcessCameras(dict[str, InProcessTopics]):
    """
    InProcessTopics by the name of the camera, created on first use.

    Shared by the superpoint node, which sends, and its listeners; outlives both.
    """

    def __init__(self) -> None:
        super().__init__()
        self._groups: list[list[str]] | None = None

    def agree_on(self, groups: list[list[str]]) -> None:
        """Raise ValueError if another node was configured for other cameras or stereo pairs."""
        if self._groups not in (None, groups):
            raise ValueError(
                f'cameras, stereo: {groups}, the other node of this process has {self._groups}'
            )
        self._groups = groups

    def __missing__(self, camera: str) -> InProcessTopics:
        return self.setdefault(camera, InProcessTopics())
