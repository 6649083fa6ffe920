"""Write keypoints, descriptors and tracks to a rosbag2, as the nodes publish them."""

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
EMPTY = np.zeros(0, np.uint32)  # id and age of keypoints


def message_types() -> Typestore:
    """Message types of ROS 2, and of this package as its msg files define them."""
    types = get_typestore(Stores.ROS2_HUMBLE)
    for path in sorted(find_shared_file('msg/Keypoints.msg').parent.glob('*.msg')):
        types.register(get_types_from_msg(path.read_text(), f'superpoint_rknn/msg/{path.stem}'))
    return types


def sibling_topic(image_topic: str, name: str) -> str:
    """Topic `name` in the namespace of an image topic: /cam0/image_raw -> /cam0/keypoints."""
    return f'{image_topic.removesuffix("/compressed").rpartition("/")[0]}/{name}'


class FeatureBag(Writer):
    """
    A new bag in MCAP, which contains the definitions of its messages.

    image_topics: topics of the images whose features are written.
    with_descriptors: whether the bag has descriptors topics.
    """

    def __init__(self, path: Path, image_topics: Collection[str], with_descriptors: bool):
        super().__init__(path, version=9, storage_plugin=StoragePlugin.MCAP)
        self._image_topics = image_topics
        self._kinds = {
            n: kind for n, kind in TOPICS.items() if with_descriptors or n != 'descriptors'
        }
        self._types = message_types()
        self._connections: dict[tuple[str, str], Connection] = {}

    def open(self) -> None:
        super().open()
        for image_topic in self._image_topics:
            for name, kind in self._kinds.items():
                self._connections[image_topic, name] = self.add_connection(
                    sibling_topic(image_topic, name), kind, typestore=self._types
                )

    def add(
        self,
        image_topic: str,
        time_ns: int,
        header: Any,
        image_size: tuple[int, int],
        keypoints: Keypoints,
        tracks: Tracks | None,
    ) -> None:
        """
        Write the keypoints and tracks of an image.

        time_ns: of the recording [ns]. header: std_msgs/Header. image_size: height, width [px].
        tracks: None: the image has none.
        """
        message = self._message(header, image_size, keypoints, EMPTY, EMPTY)
        self._write(image_topic, 'keypoints', time_ns, message)
        if tracks is None:
            return
        message = self._message(header, image_size, tracks, tracks.id, tracks.age)
        self._write(image_topic, 'tracks', time_ns, message)

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
        """Write the descriptors of an image's keypoints; data: (N, dim) float32. See `add`."""
        message = self._types.types[DESCRIPTORS](
            header=header,
            keypoints=self._message(header, image_size, keypoints, EMPTY, EMPTY),
            dim=data.shape[1],
            data=data.reshape(-1),
            model=model,
        )
        self._write(image_topic, 'descriptors', time_ns, message)

    def _message(
        self,
        header: Any,
        image_size: tuple[int, int],
        points: Keypoints | Tracks,
        ids: np.ndarray,
        age: np.ndarray,
    ) -> Any:
        height, width = image_size
        x, y, score = (np.asarray(a, np.float32) for a in (points.x, points.y, points.score))
        return self._types.types[KEYPOINTS](
            header=header, height=height, width=width, x=x, y=y, score=score, id=ids, age=age
        )

    def _write(self, image_topic: str, name: str, time_ns: int, message: Any) -> None:
        data = self._types.serialize_cdr(message, TOPICS[name])
        self.write(self._connections[image_topic, name], time_ns, data)
