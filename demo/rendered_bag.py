"""Write a rendered sequence as a rosbag2: images, camera_info and IMU of one camera, cam0."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from bag import remove_old
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys.store import Typestore

from superpoint_rknn.evaluate.rooms import camera
from superpoint_rknn.evaluate.rooms.sequences import START_NS, RenderedSequence
from superpoint_rknn.sources.messages import message_types

IMAGE, CAMERA_INFO, IMU = '/cam0/image', '/cam0/camera_info', '/imu'
TYPES = {
    IMU: 'sensor_msgs/msg/Imu',
    CAMERA_INFO: 'sensor_msgs/msg/CameraInfo',
    IMAGE: 'sensor_msgs/msg/Image',
}
UNKNOWN = np.array([-1.0, *[0.0] * 8])  # covariance of an orientation that is not measured
NO_COVARIANCE = np.zeros(9)


def write(path: Path, sequence: RenderedSequence, imu_seed: int | None) -> None:
    """
    Write a bag (MCAP) in the order of stamps; of equal stamps the IMU is first.

    imu_seed: of the IMU's noise and bias; None: without.
    Replaces an older bag; raises OSError if `path` is anything else.
    """
    remove_old(path)
    messages = Messages(message_types())
    samples = sequence.imu(imu_seed)
    rows: list[tuple[int, str, int]] = []  # stamp, topic, number
    for number, time in enumerate(samples.times):
        rows.append((START_NS + round(time * 1e9), IMU, number))
    for number, stamp in enumerate(sequence.stamps_ns):
        rows += [(stamp, CAMERA_INFO, number), (stamp, IMAGE, number)]
    topics = list(TYPES)
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {
            topic: writer.add_connection(topic, kind, typestore=messages.types)
            for topic, kind in TYPES.items()
        }
        for stamp, topic, number in sorted(rows, key=lambda row: (row[0], topics.index(row[1]))):
            if topic == IMU:
                message = messages.imu(stamp, samples.gyro[number], samples.accelerometer[number])
            elif topic == CAMERA_INFO:
                message = messages.camera_info(stamp)
            else:
                message = messages.image(stamp, sequence.images[number])
            data = messages.types.serialize_cdr(message, TYPES[topic])
            writer.write(connections[topic], stamp, data)


def write_camchain(path: Path) -> None:
    """Write the true calibration of the camera, with its pose on the IMU, as Kalibr does."""
    camera_from_body = np.linalg.inv(camera.BODY_FROM_CAMERA)
    focal_and_centre = camera.MATRIX[[0, 1, 0, 1], [0, 1, 2, 2]]
    lines = [
        'cam0:',
        '  camera_model: pinhole',
        f'  intrinsics: {focal_and_centre.tolist()}',
        '  distortion_model: radtan',
        f'  distortion_coeffs: {camera.DISTORTION.tolist()}',
        f'  resolution: {list(camera.SIZE[::-1])}',
        f'  rostopic: {IMAGE}',
        '  timeshift_cam_imu: 0.0',
        '  T_cam_imu:',
        *(f'  - {row}' for row in camera_from_body.round(12).tolist()),
    ]
    path.write_text('\n'.join(lines) + '\n')


class Messages:
    """Create the messages of a rendered sequence."""

    def __init__(self, types: Typestore):
        self.types = types

    def imu(self, stamp: int, gyro: np.ndarray, accelerometer: np.ndarray) -> Any:
        """sensor_msgs/Imu; gyro: (3,) [rad/s], accelerometer: (3,) [m/s^2]."""
        return self._new(
            'sensor_msgs/msg/Imu',
            header=self._header(stamp, 'body'),
            orientation=self._new('geometry_msgs/msg/Quaternion', x=0.0, y=0.0, z=0.0, w=1.0),
            orientation_covariance=UNKNOWN,
            angular_velocity=self._vector(gyro),
            angular_velocity_covariance=NO_COVARIANCE,
            linear_acceleration=self._vector(accelerometer),
            linear_acceleration_covariance=NO_COVARIANCE,
        )

    def camera_info(self, stamp: int) -> Any:
        """sensor_msgs/CameraInfo of the camera."""
        height, width = camera.SIZE
        return self._new(
            'sensor_msgs/msg/CameraInfo',
            header=self._header(stamp, 'camera'),
            height=height,
            width=width,
            distortion_model=camera.DISTORTION_MODEL,
            d=np.array([*camera.DISTORTION, 0.0]),  # ROS has five coefficients
            k=camera.MATRIX.ravel(),
            r=np.eye(3).ravel(),
            p=np.concatenate([camera.MATRIX, np.zeros((3, 1))], axis=1).ravel(),
            binning_x=0,
            binning_y=0,
            roi=self._new(
                'sensor_msgs/msg/RegionOfInterest',
                x_offset=0,
                y_offset=0,
                height=0,
                width=0,
                do_rectify=False,
            ),
        )

    def image(self, stamp: int, image: np.ndarray) -> Any:
        """sensor_msgs/Image, mono8, of an image (height, width) uint8."""
        height, width = image.shape
        return self._new(
            'sensor_msgs/msg/Image',
            header=self._header(stamp, 'camera'),
            height=height,
            width=width,
            encoding='mono8',
            is_bigendian=0,
            step=width,
            data=image.ravel(),
        )

    def _new(self, kind: str, **fields: Any) -> Any:
        return self.types.types[kind](**fields)

    def _header(self, stamp: int, frame_id: str) -> Any:
        sec, nanosec = divmod(stamp, 1_000_000_000)
        time = self._new('builtin_interfaces/msg/Time', sec=sec, nanosec=nanosec)
        return self._new('std_msgs/msg/Header', stamp=time, frame_id=frame_id)

    def _vector(self, values: np.ndarray) -> Any:
        x, y, z = values.tolist()
        return self._new('geometry_msgs/msg/Vector3', x=x, y=y, z=z)
