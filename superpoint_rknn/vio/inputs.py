"""Recordings of a user: a rosbag, or a sequence in the format of EuRoC, with IMU samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from superpoint_rknn.bounded_yaml import read_yaml
from superpoint_rknn.files import read_regular
from superpoint_rknn.sources.bag import Images
from superpoint_rknn.sources.messages import stamp_ns
from superpoint_rknn.sources.open import open_source
from superpoint_rknn.sources.recording import euroc_cameras, is_recording
from superpoint_rknn.tracking.calibration_file import read_calibration
from superpoint_rknn.vio.recordings import Recording
from superpoint_rknn.vio.settings import EstimatorSettings

IMU_TYPE = 'sensor_msgs/msg/Imu'
TRUTH_FOLDERS = ('state_groundtruth_estimate0', 'mocap0')  # of EuRoC and of TUM VI
MAX_TABLE = 1 << 27  # [bytes] of a table: hours of samples
# Field of a calibration -> whether it is the pose of the camera in the body, or its inverse
EXTRINSICS = {'T_BS': True, 'T_imu_cam': True, 'T_cam_imu': False}


def open_recording(
    path: Path, calibration: Path | None, truth: Path | None, topic: str | None
) -> Recording:
    """
    Open a recording of one camera and an IMU.

    calibration: YAML file with intrinsics and pose of the camera: a camchain of Kalibr with
    T_cam_imu, or sensor.yaml of EuRoC; None: that of a EuRoC sequence. truth: TUM file of the
    body; None: that of a EuRoC sequence, if it has one. topic: of the images; None: the one with
    the most.
    Raises OSError, or ValueError naming what is missing.
    """
    cameras = [] if is_recording(path) else euroc_cameras(path)
    source = open_source(path, topic)
    if cameras:
        root = cameras[0].parent
        calibration = calibration or cameras[0] / 'sensor.yaml'
        imu = read_table(root / 'imu0' / 'data.csv', 7)
        truth_rows = _euroc_truth(root)
    else:
        imu, truth_rows = _recorded_imu(path), None
    if calibration is None:
        raise ValueError(f'{path}: set --calibration to the camchain of Kalibr, with T_cam_imu')
    if truth is not None:
        truth_rows = read_tum(truth)
    first = next(iter(source), None)
    if first is None:
        raise ValueError(f'{path}: no images')
    if first.stamp_ns is None:
        raise ValueError(f'{path}: images without timestamps: give a bag or a EuRoC sequence')

    def images() -> Iterator[tuple[float, np.ndarray]]:
        for frame in source:
            if frame.stamp_ns is not None:
                yield frame.stamp_ns / 1e9, frame.grey()

    try:
        camera_model = read_calibration(calibration).camera_model(first.grey().shape[:2])
        body_from_camera = read_extrinsics(calibration)
    except ValueError as error:
        raise ValueError(f'{calibration}: {error}') from error
    return Recording(
        name=path.resolve().stem,
        images=images,
        camera_model=camera_model,
        body_from_camera=body_from_camera,
        imu=[imu],
        truth=truth_rows,
        settings=EstimatorSettings(focal=camera_model.focal),
    )


def read_extrinsics(path: Path) -> np.ndarray:
    """
    Pose of the first camera in the body, (4, 4), from a calibration.

    Raises OSError, or ValueError with the field and what is expected.
    """
    content = read_yaml(path)
    content = content.get('cam0', content)
    if not isinstance(content, dict):
        raise ValueError('cam0: no mapping, such as `T_cam_imu: ...`')
    for field, is_pose in EXTRINSICS.items():
        if field in content:
            value = content[field]
            value = value.get('data', value) if isinstance(value, dict) else value
            try:
                pose = np.array(value, np.float64).reshape(4, 4)
            except (TypeError, ValueError):
                raise ValueError(f'{field}: expected 4 x 4 numbers') from None
            turn = pose[:3, :3]
            if not np.allclose(turn @ turn.T, np.eye(3), atol=1e-3) or np.linalg.det(turn) < 0:
                raise ValueError(f'{field}: not a rigid transform')
            return pose if is_pose else np.linalg.inv(pose)
    raise ValueError(
        f'no pose of the camera in the frame of the IMU: add {" or ".join(EXTRINSICS)}'
    )


def read_table(path: Path, columns: int) -> np.ndarray:
    """
    Read the first columns of a data.csv of EuRoC, (N, columns); times [ns] become [s].

    Raises OSError, or ValueError if it has other content.
    """
    try:
        rows = np.loadtxt(_text(path), delimiter=',', usecols=range(columns), ndmin=2)
    except ValueError as error:
        raise ValueError(f'{path}: expected {columns} numbers in each line: {error}') from error
    rows[:, 0] /= 1e9
    return rows


def read_tum(path: Path) -> np.ndarray:
    """Read a TUM file, (N, 8). Raises OSError, or ValueError if it has other content."""
    try:
        rows = np.loadtxt(_text(path), ndmin=2)
    except ValueError as error:
        raise ValueError(f'{path}: not a TUM file: {error}') from error
    if rows.shape[1] != 8:
        raise ValueError(f'{path}: {rows.shape[1]} numbers in a line, expected 8 of a TUM file')
    return rows


def _text(path: Path) -> StringIO:
    """Text of a table. Raises OSError, or ValueError if it is no UTF-8 or too large."""
    return StringIO(read_regular(path, MAX_TABLE).decode())


def _euroc_truth(root: Path) -> np.ndarray | None:
    for folder in TRUTH_FOLDERS:
        path = root / folder / 'data.csv'
        if path.is_file():
            rows = read_table(path, 8)
            return rows[:, [0, 1, 2, 3, 5, 6, 7, 4]]  # the quaternion is w, x, y, z there
    return None


def _recorded_imu(path: Path) -> np.ndarray:
    """Samples on the IMU topic with the most messages, (N, 7)."""
    recorded = Images(path)
    topics = [topic for topic, kind in recorded.types.items() if kind == IMU_TYPE]
    if not topics:
        raise ValueError(f'{path}: no sensor_msgs/Imu in this recording')
    counts: Counter[str] = Counter()
    rows: dict[str, list[list[float]]] = {topic: [] for topic in topics}
    for message in recorded.recorded(topics):
        try:
            rows[message.topic].append(_imu_row(message.message()))
        except ValueError as error:
            raise ValueError(f'{path}: {message.name}: {error}') from error
        counts[message.topic] += 1
    if not counts:
        raise ValueError(f'{path}: no messages on {", ".join(topics)}')
    return np.array(rows[counts.most_common(1)[0][0]])


def _imu_row(message: Any) -> list[float]:
    gyro, acc = message.angular_velocity, message.linear_acceleration
    time = stamp_ns(message.header) / 1e9
    return [time, gyro.x, gyro.y, gyro.z, acc.x, acc.y, acc.z]
