"""
Convert tracks to sensor_msgs/PointCloud on `feature`, for VINS-Fusion and VINS-Mono.

Both assume that the observations of an id have no gaps: after a gap they would assign them to the
wrong images. So an id is that of a part of a track without gaps (Tracks.key), and a part that was
missing in a message is not sent again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from geometry_msgs.msg import Point32
from sensor_msgs.msg import ChannelFloat32, PointCloud
from std_msgs.msg import Header

from superpoint_rknn.features.rate import SECOND, EveryNth
from superpoint_rknn.nodes.common.messages import float_array
from superpoint_rknn.tracking.camera_model import CameraModel
from superpoint_rknn.tracking.tracker import Tracks

EXACT = 2**24  # float32 represents all smaller integers exactly
FUSION_CHANNELS = ('id', 'camera', 'u', 'v', 'vx', 'vy', 'gx', 'gy', 'gz')
MONO_CHANNELS = ('id', 'u', 'v', 'vx', 'vy')


@dataclass(frozen=True)
class Features:
    """The features of one image or stereo pair; one row per point and camera."""

    id: np.ndarray  # (N,) int64, below 2^24
    camera: np.ndarray  # (N,) int64, index of the camera
    pixel: np.ndarray  # (N, 2) u, v in the image [px]
    direction: np.ndarray  # (N, 2) undistorted X / Z, Y / Z
    velocity: np.ndarray  # (N, 2) of the direction [1/s]

    def __add__(self, other: Features) -> Features:
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return Features(*map(np.concatenate, pairs))


class FeatureIds:
    """
    Map track keys to ids, unique within each message.

    The ids are offset, offset + step, ..., `limit` different ones.
    limit: must exceed the number of tracks in a message.
    """

    def __init__(self, limit: int, step: int = 1, offset: int = 0):
        self._limit, self._step, self._offset = limit, step, offset
        self._numbers: dict[int, int] = {}  # by key, of the last message
        self._newest = -1  # largest key that was sent

    def assign(self, keys: Iterable[int]) -> dict[int, int]:
        """
        Return the ids of the tracks of the next message by key, in ascending order of the keys.

        A new key gets number key % limit or, if another track has that, the next free one. Keys
        that the last message lacked are left out, unless they are new.
        """
        sent = [key for key in sorted(keys) if key in self._numbers or key > self._newest]
        used = {self._numbers[key] for key in sent if key in self._numbers}
        numbers = {}
        for key in sent:
            number = self._numbers.get(key)
            if number is None:
                number = key % self._limit
                while number in used:
                    number = (number + 1) % self._limit
                used.add(number)
            numbers[key] = number
        self._numbers, self._newest = numbers, max([self._newest, *sent])
        return {key: number * self._step + self._offset for key, number in numbers.items()}


@dataclass(frozen=True)
class Observations:
    """Observations of the tracks in the image of one camera; one row per track."""

    stamp: int  # of the image [ns]
    key: np.ndarray  # (N,) int64
    pixel: np.ndarray  # (N, 2) [px]
    direction: np.ndarray  # (N, 2) X / Z, Y / Z; NaN if undistortion failed
    velocity: np.ndarray  # (N, 2) of the direction since the image before [1/s]; 0 if unknown


def observe(
    stamp: int, tracks: Tracks, camera_model: CameraModel, before: Observations | None
) -> Observations:
    """
    Return the observations of the tracks in an image.

    stamp: of the image [ns]. before: observations of the image before; None: there is none.
    """
    direction = camera_model.undistort(tracks.x, tracks.y)
    velocity = np.zeros_like(direction)
    if before is not None:
        seconds = (stamp - before.stamp) / SECOND
        _, rows, rows_before = np.intersect1d(tracks.key, before.key, True, return_indices=True)
        velocity[rows] = (direction[rows] - before.direction[rows_before]) / seconds
    velocity[~np.isfinite(velocity)] = 0
    pixel = np.stack([tracks.x, tracks.y], axis=1)
    return Observations(stamp, tracks.key, pixel, direction, velocity)


def has_direction(observations: Observations) -> np.ndarray:
    """Return True for observations whose undistortion succeeded, (N,) bool."""
    return np.asarray(np.isfinite(observations.direction).all(axis=1))


def features_of(observations: Observations, ids: Mapping[int, int], camera: int) -> Features:
    """
    Return the observations that have an id and a direction as features, in the order of the ids.

    ids: by key. camera: its index.
    """
    usable = has_direction(observations).tolist()
    row_of = {key: row for row, key in enumerate(observations.key.tolist()) if usable[row]}
    keys = [key for key in ids if key in row_of]
    rows = np.array([row_of[key] for key in keys], np.intp)
    return Features(
        np.array([ids[key] for key in keys], np.int64),
        np.full(len(rows), camera, np.int64),
        observations.pixel[rows],
        observations.direction[rows],
        observations.velocity[rows],
    )


class VinsAdapter:
    """
    Convert the tracks of successive images or stereo pairs to features.

    style: vins_fusion or vins_mono.
    cameras: number of cameras of the estimator (NUM_OF_CAM of VINS-Mono).
    numbers: indices of the camera or stereo pair converted here; the ids of different cameras
    never collide.
    """

    def __init__(self, style: str, cameras: int = 1, numbers: Sequence[int] = (0,)):
        self.style = style
        self.every_nth = EveryNth()
        self._numbers = numbers
        groups, group = cameras // len(numbers), numbers[0] // len(numbers)
        limit = EXACT // groups // (cameras if style == 'vins_mono' else 1)
        self._ids = FeatureIds(limit, groups, group)
        self._left: Observations | None = None  # in the last image
        self._right: Observations | None = None

    @property
    def without_direction(self) -> float:
        """Share of the tracks in the last image without a viewing direction; 0: none are there."""
        if self._left is None or not len(self._left.key):
            return 0.0
        return 1.0 - float(has_direction(self._left).mean())

    def update(
        self,
        stamp: int,
        tracks: Tracks,
        camera_model: CameraModel,
        rate: float = 0.0,
        right: tuple[Tracks, CameraModel] | None = None,
    ) -> Features | None:
        """
        Return the features to send for the next image; None if there is nothing to send.

        stamp: of the image [ns], later than that of the previous one.
        rate: of messages [Hz], see EveryNth; 0: one per image.
        right: the tracks in the right image and the model of its camera; None: there is none.
        For VINS-Mono: None for the first image, and only tracks with an age above 1.
        """
        is_mono, is_first = self.style == 'vins_mono', self._left is None
        self._left = observe(stamp, tracks, camera_model, self._left)
        self._right = None if right is None else observe(stamp, *right, self._right)
        if not self.every_nth.select(stamp, rate) or (is_mono and is_first):
            return None
        is_sent = has_direction(self._left) & (tracks.age > (1 if is_mono else 0))
        ids = self._ids.assign(tracks.key[is_sent].tolist())
        features = features_of(self._left, ids, self._numbers[0])
        if self._right is None:
            return features
        return features + features_of(self._right, ids, self._numbers[1])


def feature_message(
    header: Header, features: Features, style: str, cameras: int = 1
) -> PointCloud:
    """
    Return the `feature` message of an image; cameras: number of cameras of the estimator.

    VINS-Fusion documents six channels but reads nine if there are more than five; the last three
    (ground truth position) are 0. The ids of VINS-Mono are id * cameras + camera, its frame_id is
    "world".
    """
    common = [*features.pixel.T, *features.velocity.T]
    if style == 'vins_mono':
        header = Header(stamp=header.stamp, frame_id='world')
        names: tuple[str, ...] = MONO_CHANNELS
        rows = [features.id * cameras + features.camera, *common]
    else:
        zeros = np.zeros(len(features.id))
        names = FUSION_CHANNELS
        rows = [features.id, features.camera, *common, zeros, zeros, zeros]
    return PointCloud(
        header=header,
        # The message type demands one object per point.
        points=[Point32(x=x, y=y, z=1.0) for x, y in features.direction.tolist()],
        channels=[
            ChannelFloat32(name=name, values=float_array(row))
            for name, row in zip(names, rows, strict=True)
        ],
    )
