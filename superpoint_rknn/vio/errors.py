"""Errors of a trajectory, by evo (M. Grupp, github.com/MichaelGrupp/evo), after alignment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from evo.core import metrics
from evo.core.sync import SyncException, associate_trajectories
from evo.core.trajectory import PoseTrajectory3D

SAME_TIME = 0.01  # [s] between an estimated and a true pose, at most
RPE_SECONDS = 1.0
MIN_POSES = 20  # for errors


@dataclass(frozen=True)
class Errors:
    """
    Errors of a trajectory after alignment by position and yaw, which no VIO can observe.

    ate_m: root mean square of the position error. rpe_m: of the error of the motion over
    RPE_SECONDS. yaw_drift_deg: change of the yaw error from the first to the last second.
    """

    ate_m: float
    rpe_m: float
    yaw_drift_deg: float
    estimate: np.ndarray  # (N, 8) rows of a TUM file, aligned
    truth: np.ndarray  # (N, 8) at the same times


def errors_of(estimate: np.ndarray, truth: np.ndarray) -> Errors:
    """
    Compare a trajectory with the truth.

    estimate, truth: rows of TUM files, (N, 8): time [s], position [m], quaternion x, y, z, w.
    Raises ValueError if they have fewer than MIN_POSES common times.
    """
    try:
        true, found = associate_trajectories(
            _trajectory(truth), _trajectory(estimate), max_diff=SAME_TIME
        )
    except SyncException as error:
        raise ValueError(f'no common times: {error}') from error
    if found.num_poses < MIN_POSES:
        raise ValueError(f'{found.num_poses} poses with a true one, expected {MIN_POSES}')
    found.transform(alignment(found.positions_xyz, true.positions_xyz))
    absolute = metrics.APE(metrics.PoseRelation.translation_part)
    absolute.process_data((true, found))
    step = max(1, round(RPE_SECONDS / float(np.median(np.diff(found.timestamps)))))
    relative = metrics.RPE(
        metrics.PoseRelation.translation_part, step, metrics.Unit.frames, all_pairs=True
    )
    relative.process_data((true, found))
    rms = metrics.StatisticsType.rmse
    return Errors(
        float(absolute.get_statistic(rms)),
        float(relative.get_statistic(rms)),
        _yaw_drift(found, true),
        _rows(found),
        _rows(true),
    )


def alignment(positions: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """
    Translation and yaw, (4, 4), that bring positions (N, 3) nearest to the true ones.

    The rotation is that of S. Umeyama, PAMI 1991, with the axis z alone.
    """
    centred, true = positions - positions.mean(axis=0), truth - truth.mean(axis=0)
    sine = (centred[:, 0] * true[:, 1] - centred[:, 1] * true[:, 0]).sum()
    cosine = (centred[:, :2] * true[:, :2]).sum()
    yaw = np.arctan2(sine, cosine)
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    pose[:3, 3] = truth.mean(axis=0) - pose[:3, :3] @ positions.mean(axis=0)
    return pose


def _yaw_drift(found: PoseTrajectory3D, true: PoseTrajectory3D) -> float:
    """Yaw error of the last second minus that of the first [degrees], absolute."""
    poses = zip(found.poses_se3, true.poses_se3, strict=True)
    turns = np.array([a[:3, :3] @ b[:3, :3].T for a, b in poses])
    yaw = np.unwrap(np.arctan2(turns[:, 1, 0] - turns[:, 0, 1], turns[:, 0, 0] + turns[:, 1, 1]))
    times = found.timestamps
    first, last = yaw[times <= times[0] + 1], yaw[times >= times[-1] - 1]
    return float(np.degrees(abs(last.mean() - first.mean())))


def _trajectory(rows: np.ndarray) -> PoseTrajectory3D:
    return PoseTrajectory3D(rows[:, 1:4], rows[:, [7, 4, 5, 6]], rows[:, 0])


def _rows(trajectory: PoseTrajectory3D) -> np.ndarray:
    quaternions = trajectory.orientations_quat_wxyz[:, [1, 2, 3, 0]]
    return np.column_stack([trajectory.timestamps, trajectory.positions_xyz, quaternions])
