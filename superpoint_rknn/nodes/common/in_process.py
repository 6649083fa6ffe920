"""What the nodes receive and find, for those who listen in the same process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from superpoint_rknn.msg import Descriptors, Keypoints
from superpoint_rknn.nodes.common.received_image import ReceivedImage

T = TypeVar('T')


class Channel(Generic[T]):
    """
    Hands objects to whoever subscribed, at once, in the thread of whoever sends.

    A listener only puts away what it gets, and changes none of it: the others get the same.
    """

    def __init__(self):
        self._listeners: tuple[Callable[[T], None], ...] = ()

    def __bool__(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)

    def subscribe(self, listener: Callable[[T], None]) -> None:
        """Have all that is sent from now on."""
        self._listeners = (*self._listeners, listener)

    def unsubscribe(self, listener: Callable[[T], None]) -> None:
        """Have no more. Raises ValueError for a listener that never subscribed."""
        listeners = list(self._listeners)
        listeners.remove(listener)
        self._listeners = tuple(listeners)

    def send(self, item: T) -> None:
        """Hand an object to all listeners."""
        for listener in self._listeners:
            listener(item)


class InProcessTopics:
    """
    One camera: its images as they arrive, dropped ones too, and what is published of them.

    Where the superpoint node is deterministic, images come right before their keypoints.
    """

    def __init__(self):
        self.images: Channel[ReceivedImage] = Channel()  # sent by the executor, or the worker
        self.keypoints: Channel[Keypoints] = Channel()  # by the worker
        self.descriptors: Channel[Descriptors] = Channel()  # by the executor or the worker
        self.tracks: Channel[Keypoints] = Channel()  # by the tracker's thread


class InProcessCameras(dict[str, InProcessTopics]):
    """
    Feeds by the name of the camera, made when first asked for.

    Given to the superpoint node, which sends, and to others, which listen; outlives both.
    """

    def __init__(self):
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
