"""A rosbag2 of features: keypoints, descriptors and tracks as the nodes publish them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from superpoint_rknn.features.keypoints import Keypoints
from superpoint_rknn.files import find_shared_file
from superpoint_rknn.tracking.tracker import Tracks

KEYPOINTS = 'superpoint_rknn/msg/Keypoints'
DESCRIPTORS = 'superpoint_rknn/msg/Descriptors'
TOPICS = {'keypoints': KEYPOINTS, 'descriptors': DESCRIPTORS, 'tracks': KEYPOINTS}
NOTHING = np.zeros(0, np.uint32)


def message_types() -> Typestore:
    """ROS 2's message types and this package's, read from its msg files."""
    types = get_typestore(Stores.ROS2_HUMBLE)
    for path in sorted(find_shared_file('msg/Keypoints.msg').parent.glob('*.msg')):
        types.register(get_types_from_msg(path.read_text(), f'superpoint_rknn/msg/{path.stem}'))
    return types


def beside(image_topic: str, name: str) -> str:
    """Name in the place of an image topic, `keypoints` for instance: /cam0/keypoints."""
    return f'{image_topic.removesuffix("/compressed").rpartition("/")[0]}/{name}'


class FeatureBag(Writer):
    """
    A new bag in MCAP that holds the definitions of its messages.

    image_topics: whose features are written. described: whether there are descriptors.
    """

    def __init__(self, path: Path, image_topics: Collection[str], described: bool):
        super().__init__(path, version=9, storage_plugin=StoragePlugin.MCAP)
        self._image_topics = image_topics
        self._kinds = {n: kind for n, kind in TOPICS.items() if described or n != 'descriptors'}
        self._types = message_types()
        self._of: dict[tuple[str, str], Connection] = {}

    def open(self) -> None:
        super().open()
        for image_topic in self._image_topics:
            for name, kind in self._kinds.items():
                self._of[image_topic, name] = self.add_connection(
                    beside(image_topic, name), kind, typestore=self._types
                )

    def add(
        self,
        image_topic: str,
        time_ns: int,
        header: Any,
        image_size: tuple[int, int],
        keypoints: Keypoints,
        tracks: Tracks,
    ) -> None:
        """Write the points and tracks of an image of `image_size` (height, width)."""
        found = self._points(header, image_size, keypoints, NOTHING, NOTHING)
        self._put(image_topic, 'keypoints', time_ns, found)
        followed = self._points(header, image_size, tracks, tracks.id, tracks.age)
        self._put(image_topic, 'tracks', time_ns, followed)

    def add_descriptors(
        self,
        image_topic: str,
        time_ns: int,
        header: Any,
        image_size: tuple[int, int],
        keypoints: Keypoints,
        data: np.ndarray,
        model: str,
    ) -> None:
        """Write descriptors, (N, dim) float32, of the points of an image."""
        message = self._types.types[DESCRIPTORS](
            header=header,
            keypoints=self._points(header, image_size, keypoints, NOTHING, NOTHING),
            dim=data.shape[1],
            data=data.reshape(-1),
            model=model,
        )
        self._put(image_topic, 'descriptors', time_ns, message)

    def _points(
        self,
        header: Any,
        image_size: tuple[int, int],
        points: Keypoints | Tracks,
        identity: np.ndarray,
        age: np.ndarray,
    ) -> Any:
        height, width = image_size
        x, y, score = (np.asarray(a, np.float32) for a in (points.x, points.y, points.score))
        return self._types.types[KEYPOINTS](
            header=header, height=height, width=width, x=x, y=y, score=score, id=identity, age=age
        )

    def _put(self, image_topic: str, name: str, time_ns: int, message: Any) -> None:
        data = self._types.serialize_cdr(message, TOPICS[name])
        self.write(self._of[image_topic, name], time_ns, data)
