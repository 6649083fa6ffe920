"""
Convert tracks to sensor_msgs/PointCloud on `feature`, for VINS-Fusion and VINS-Mono.

Both assume that the observations of an id have no gaps: after a gap they would assign them to the
wrong images. So an id is that of a part of a track without gaps (Tracks.key), and a part that was
missing in a message is not sent again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from geometry_msgs.msg import Point32
from sensor_msgs.msg import ChannelFloat32, PointCloud
from std_msgs.msg import Header

from superpoint_rknn.features.rate import SECOND, RateLimiter
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
    Map track keys to ids below a limit, unique within each message.

    limit: must exceed the number of tracks in a message.
    """

    def __init__(self, limit: int):
        self._limit = limit
        self._keys: np.ndarray = np.zeros(0, np.int64)  # of the last message, ascending
        self._ids: np.ndarray = np.zeros(0, np.int64)
        self._newest = -1  # largest key that was sent

    def assign(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """
        Assign ids to the tracks of the next message.

        keys: (N,) int64.
        Returns the indices of the keys to send, ascending by key, (M,), and their ids, (M,): the
        key modulo the limit or, if another track has that id, the next free one.
        """
        order = np.argsort(keys)
        keys = keys[order]
        known = np.isin(keys, self._keys, assume_unique=True)
        send = known | (keys > self._newest)
        order, keys, known = order[send], keys[send], known[send]
        ids = keys % self._limit
        ids[known] = self._ids[np.searchsorted(self._keys, keys[known])]
        while True:
            _, first = np.unique(np.concatenate([ids[known], ids[~known]]), return_index=True)
            clashes = np.ones(len(ids), bool)
            clashes[first] = False
            fresh = np.flatnonzero(~known)[clashes[known.sum() :]]
            if not len(fresh):
                break
            ids[fresh] = (ids[fresh] + 1) % self._limit
        self._keys, self._ids = keys, ids
        self._newest = max(self._newest, int(keys[-1]) if len(keys) else -1)
        return order, ids


@dataclass(frozen=True)
class Observations:
    """Observations of the tracks in the image of one camera; one row per track."""

    key: np.ndarray  # (N,) int64
    pixel: np.ndarray  # (N, 2) [px]
    direction: np.ndarray  # (N, 2) X / Z, Y / Z; NaN if undistortion failed
    velocity: np.ndarray  # (N, 2) of the direction [1/s]; 0 for a new track

    def features(self, rows: np.ndarray, ids: np.ndarray, camera: int) -> Features:
        """Return some rows as features; ids: of these rows; camera: its index."""
        cameras = np.full(len(rows), camera, np.int64)
        return Features(ids, cameras, self.pixel[rows], self.direction[rows], self.velocity[rows])


class VelocityEstimator:
    """Estimate track velocities of one camera from successive images."""

    def __init__(self) -> None:
        self._stamp: int | None = None
        self._keys: np.ndarray = np.zeros(0, np.int64)  # of the last image
        self._directions: np.ndarray = np.zeros((0, 2))

    def observe(self, stamp: int, tracks: Tracks, camera_model: CameraModel) -> Observations:
        """Return the observations of the next image; stamp: of the image [ns]."""
        directions = camera_model.undistort(tracks.x, tracks.y)
        velocities = np.zeros_like(directions)
        if self._stamp is not None:
            seconds = (stamp - self._stamp) / SECOND
            _, now, before = np.intersect1d(tracks.key, self._keys, True, return_indices=True)
            velocities[now] = (directions[now] - self._directions[before]) / seconds
        velocities[~np.isfinite(velocities)] = 0
        self._stamp, self._keys, self._directions = stamp, tracks.key, directions
        return Observations(
            tracks.key, np.stack([tracks.x, tracks.y], axis=1), directions, velocities
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
        self._numbers = numbers
        self._groups, self._group = cameras // len(numbers), numbers[0] // len(numbers)
        self._limit = EXACT // self._groups // (cameras if style == 'vins_mono' else 1)
        self.restart()

    def restart(self) -> None:
        """Start a new sequence: the next features do not continue the previous ones."""
        self._ids = FeatureIds(self._limit)
        self._stamp: int | None = None
        self._motion, self._right_motion = VelocityEstimator(), VelocityEstimator()
        self._sent = RateLimiter()

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
        rate: maximum rate of messages [Hz]; 0: one per image.
        right: the tracks in the right image and the model of its camera; None: there is none.
        For VINS-Mono: None for the first image, and only tracks with an age above 1.
        """
        first, step = self._stamp is None, stamp - (self._stamp or 0)
        self._stamp = stamp
        left = self._motion.observe(stamp, tracks, camera_model)
        if right is None:
            self._right_motion = VelocityEstimator()  # no velocity across a gap
        else:
            seen_right = self._right_motion.observe(stamp, *right)
        if rate > 0 and not self._sent.select_if_due(stamp, rate, 0 if first else step):
            return None
        mono = self.style == 'vins_mono'
        if mono and first:
            return None
        usable = np.isfinite(left.direction).all(axis=1)
        if mono:
            usable &= tracks.age > 1
        rows = np.flatnonzero(usable)
        chosen, ids = self._ids.assign(tracks.key[rows])
        rows = rows[chosen]
        ids = ids * self._groups + self._group
        features = left.features(rows, ids, self._numbers[0])
        if right is None:
            return features
        usable = np.flatnonzero(np.isfinite(seen_right.direction).all(axis=1))
        _, among, also = np.intersect1d(
            tracks.key[rows], seen_right.key[usable], True, return_indices=True
        )
        return features + seen_right.features(usable[also], ids[among], self._numbers[1])


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
