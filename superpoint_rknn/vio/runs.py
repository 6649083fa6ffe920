"""Runs of the estimator on the tracks and IMU samples of a recording."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from superpoint_rknn.vio.errors import Errors, errors_of
from superpoint_rknn.vio.estimator import Estimator, State
from superpoint_rknn.vio.front_end import FEATURE_RATE, TrackHistory
from superpoint_rknn.vio.recordings import Recording, tum_rows

IMU_BEFORE = 0.1  # [s] of samples before the first image


@dataclass(frozen=True)
class Run:
    """Result of one start of the estimator."""

    start_s: float  # since the first image
    seed: int
    init_s: float | None  # from the start to the first state; None: never started
    restarts: int  # how often the motion was lost
    trajectory: np.ndarray  # (N, 8) rows of a TUM file
    errors: Errors | None  # None: the run has failed, or the truth is unknown


def run(
    recording: Recording, history: TrackHistory, start: float, seconds: float, seed: int
) -> Run:
    """
    Run the estimator on a part of a recording.

    start, seconds: of the part, since the first image. seed: index in `recording.imu`.
    """
    first = history.times[0] + start
    estimator = Estimator(recording.settings, recording.body_from_camera)
    samples = recording.imu[seed]
    row = int(np.searchsorted(samples[:, 0], first - IMU_BEFORE))
    states: list[State] = []
    step = max(1, round(history.image_rate / FEATURE_RATE))
    for number in range(0, len(history.times), step):
        time = history.times[number]
        if not first - 1e-3 <= time < first + seconds - 1e-3:
            continue
        # One sample beyond the image, to interpolate at its time
        while row < len(samples) and (row == 0 or samples[row - 1, 0] < time):
            estimator.add_imu(samples[row, 0], samples[row, 1:4], samples[row, 4:7])
            row += 1
        state = estimator.add_tracks(time, history.points[number].id, history.directions[number])
        if state is not None:
            states.append(state)
    trajectory = _rows(states)
    init = states[0].time - first if states else None
    failed = not states or estimator.restarts > 0
    errors = None if failed or recording.truth is None else _errors(trajectory, recording.truth)
    return Run(start, seed, init, estimator.restarts, trajectory, errors)


def _errors(trajectory: np.ndarray, truth: np.ndarray) -> Errors | None:
    try:
        return errors_of(trajectory, truth)
    except ValueError:  # too short: the estimator started too late
        return None


def _rows(states: list[State]) -> np.ndarray:
    if not states:
        return np.empty((0, 8))
    poses = np.tile(np.eye(4), (len(states), 1, 1))
    poses[:, :3, :3] = [state.rotation for state in states]
    poses[:, :3, 3] = [state.position for state in states]
    return tum_rows(np.array([state.time for state in states]), poses)
