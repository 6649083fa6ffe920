"""Images and IMU samples of one camera, on which the estimator is run, and the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from superpoint_rknn.evaluate.rooms import camera
from superpoint_rknn.evaluate.rooms.sequences import RenderedSequence, open_sequence
from superpoint_rknn.quantize.calibration import Progress
from superpoint_rknn.tracking.camera_model import CameraModel
from superpoint_rknn.vio.settings import EstimatorSettings

Images = Callable[[], Iterator[tuple[float, np.ndarray]]]  # time [s] and grey image, in order


@dataclass(frozen=True)
class Recording:
    """
    Images and IMU samples of a camera on a body.

    imu: one measurement of the same motion for each seed of noise and bias, (N, 7) each: time [s],
    gyro [rad/s], acceleration [m/s^2]. truth: (M, 8) as in a TUM file: time [s], position [m] and
    quaternion x, y, z, w of the body in the world; None: unknown.
    """

    name: str
    images: Images
    camera_model: CameraModel
    body_from_camera: np.ndarray  # (4, 4)
    imu: Sequence[np.ndarray]
    truth: np.ndarray | None = None
    settings: EstimatorSettings = field(default_factory=EstimatorSettings)
    sequence: RenderedSequence | None = None  # None: not rendered


def rendered(name: str, seeds: int, progress: Progress = iter) -> Recording:
    """Return a rendered sequence with `seeds` measurements; raises what open_sequence raises."""
    sequence = open_sequence(name, progress=progress)
    start = sequence.stamps_ns[0] / 1e9
    times = start + sequence.times
    imu = []
    for seed in range(seeds):
        samples = sequence.imu(seed)
        imu.append(np.column_stack([start + samples.times, samples.gyro, samples.accelerometer]))
    return Recording(
        name=name,
        images=lambda: zip(times.tolist(), sequence.images, strict=True),
        camera_model=camera.camera_model(),
        body_from_camera=camera.BODY_FROM_CAMERA,
        imu=imu,
        truth=tum_rows(times, sequence.body_poses),
        sequence=sequence,
    )


def tum_rows(times: np.ndarray, poses: np.ndarray) -> np.ndarray:
    """Rows of a TUM file, (N, 8); poses: (N, 4, 4), world from body."""
    return np.column_stack([times, poses[:, :3, 3], quaternions(poses[:, :3, :3])])


def quaternions(rotations: np.ndarray) -> np.ndarray:
    """Unit quaternions x, y, z, w of rotations (N, 3, 3), (N, 4), with w >= 0."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_matrix(rotations).as_quat(canonical=True)
