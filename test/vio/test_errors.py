"""Errors of trajectories that a hand can check."""

import numpy as np
import pytest

from superpoint_rknn.vio.errors import errors_of
from superpoint_rknn.vio.recordings import tum_rows

TIMES = np.arange(0, 10, 0.1)


def turn(yaw):
    return np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])


def trajectory(positions, yaws=None):
    poses = np.tile(np.eye(4), (len(positions), 1, 1))
    poses[:, :3, 3] = positions
    for pose, yaw in zip(poses, np.zeros(len(positions)) if yaws is None else yaws, strict=True):
        pose[:3, :3] = turn(yaw)
    return tum_rows(TIMES, poses)


@pytest.fixture
def positions():
    """A line of 10 m along x with a bend, so that the yaw can be seen."""
    return np.column_stack([TIMES, np.sin(TIMES), np.zeros(len(TIMES))])


def test_another_origin_and_yaw_are_no_error(positions):
    moved = positions @ turn(0.7).T + [5, -3, 2]

    found = errors_of(trajectory(moved, np.full(len(TIMES), 0.7)), trajectory(positions))

    assert found.ate_m == pytest.approx(0, abs=1e-9)
    assert found.rpe_m == pytest.approx(0, abs=1e-9)
    assert found.yaw_drift_deg == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(found.estimate[:, 1:4], positions, atol=1e-9)


def test_a_tilted_world_is_an_error(positions):
    """By 0.1 rad about y: x goes up by 10 m * 0.1 at the end, which no yaw can undo."""
    c, s = np.cos(0.1), np.sin(0.1)
    tilted = positions @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T

    assert errors_of(trajectory(tilted), trajectory(positions)).ate_m > 0.25


def test_wrong_scale(positions):
    """Of 1.1: 10 % of the distances from the middle, and 10 % of a step of one second."""
    found = errors_of(trajectory(1.1 * positions), trajectory(positions))

    spread = np.sqrt(positions.var(axis=0).sum())
    assert found.ate_m == pytest.approx(0.1 * spread, rel=1e-6)
    steps = np.linalg.norm(positions[10:] - positions[:-10], axis=1)
    assert found.rpe_m == pytest.approx(0.1 * np.sqrt(np.mean(steps**2)), rel=1e-6)


def test_yaw_drift(positions):
    """1 degree per second: 9 degrees between the middles of the first and the last second."""
    found = errors_of(trajectory(positions, np.radians(TIMES)), trajectory(positions))

    assert found.yaw_drift_deg == pytest.approx(9.0, abs=0.11)


def test_too_few_poses(positions):
    with pytest.raises(ValueError, match='10 poses with a true one, expected 20'):
        errors_of(trajectory(positions)[:10], trajectory(positions))


def test_other_times(positions):
    late = trajectory(positions)
    late[:, 0] += 1000

    with pytest.raises(ValueError, match='no common times'):
        errors_of(late, trajectory(positions))
