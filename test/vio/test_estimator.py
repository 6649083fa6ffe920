"""The estimator on motions that a hand can check."""

import numpy as np
import pytest
from motion import BODY_FROM_CAMERA, Motion, circle, run, still, weaving

from superpoint_rknn.vio.estimator import Estimator
from superpoint_rknn.vio.settings import EstimatorSettings

NOISE = 0.3 / 400  # of directions: 0.3 px


@pytest.fixture
def estimator():
    return Estimator(EstimatorSettings(), BODY_FROM_CAMERA)


def test_stays_at_the_origin_at_rest(estimator):
    states = run(estimator, Motion(still), 8)

    assert states[0].time == pytest.approx(0.5)
    for state in states:
        np.testing.assert_allclose(state.position, 0, atol=1e-6)
        np.testing.assert_allclose(state.velocity, 0, atol=1e-6)
        np.testing.assert_allclose(state.rotation, np.eye(3), atol=1e-6)


def test_measures_the_gyroscope_bias_at_rest(estimator):
    bias = np.array([0.01, -0.02, 0.03])

    states = run(estimator, Motion(still), 1, gyro_bias=bias)

    np.testing.assert_allclose(states[-1].gyro_bias, bias, atol=1e-6)


def test_follows_a_circle_from_the_start(estimator):
    """A circle of 1 m radius in 6 s: its speed is 2 pi / 6 m/s."""
    states = run(estimator, Motion(circle), 6, noise=NOISE)

    assert states[0].time <= 2.0
    speeds = [np.linalg.norm(state.velocity) for state in states]
    np.testing.assert_allclose(speeds, 2 * np.pi / 6, atol=0.05)
    first = states[0]
    for state in states:
        moved = circle(state.time) - circle(first.time)
        np.testing.assert_allclose(
            np.linalg.norm(state.position - first.position), np.linalg.norm(moved), atol=0.05
        )
        assert state.position[2] == pytest.approx(first.position[2], abs=0.03)


def test_needs_no_rest_and_finds_both_biases(estimator):
    gyro_bias, acc_bias = np.array([0.02, -0.01, 0.015]), np.array([0.1, -0.05, 0.08])

    states = run(estimator, Motion(weaving, lambda t: 0.3 * np.sin(t)), 10, gyro_bias, acc_bias)

    np.testing.assert_allclose(states[-1].gyro_bias, gyro_bias, atol=0.002)
    np.testing.assert_allclose(states[-1].acc_bias, acc_bias, atol=0.03)


def test_starts_at_rest_and_then_moves_at_constant_velocity(estimator):
    """1 s at rest, 1 s of acceleration by 0.5 m/s^2 along x, then 0.5 m/s."""

    def position(time):
        moving = np.clip(time - 1, 0, 1)
        return np.array([moving**2 / 4 + 0.5 * max(time - 2, 0), 0, 0])

    states = run(estimator, Motion(position, lambda t: 0.5), 5)

    # The world's yaw is that of the body at the start, here turned by 0.5 rad from the room.
    last = states[-1]
    np.testing.assert_allclose(np.linalg.norm(last.velocity), 0.5, atol=0.02)
    np.testing.assert_allclose(np.linalg.norm(last.position), 1.75, atol=0.03)
    assert np.arctan2(*last.velocity[1::-1]) == pytest.approx(-0.5, abs=0.01)
    assert estimator.restarts == 0


def test_rejects_tracks_that_slide(estimator):
    """An eighth of all tracks moves by 1 px per image along the wall."""
    states = run(estimator, Motion(weaving), 6, noise=NOISE, slide=1 / 400)

    first, last = states[0], states[-1]
    moved = weaving(last.time) - weaving(first.time)
    found = np.linalg.norm(last.position - first.position)
    assert found == pytest.approx(np.linalg.norm(moved), abs=0.05)
    assert estimator.restarts == 0


def test_starts_again_after_a_gap(estimator):
    before = run(estimator, Motion(still), 1)
    after = run(estimator, Motion(still), 1, start=3.0)

    assert before[-1].time == 1.0
    assert estimator.restarts == 1
    assert after[0].time == pytest.approx(3.5)


def test_a_gap_before_the_start_is_no_loss(estimator):
    assert run(estimator, Motion(still), 0.3) == []
    run(estimator, Motion(still), 1, start=3.0)

    assert estimator.restarts == 0


def test_restart_forgets_all(estimator):
    run(estimator, Motion(still), 1, start=5.0)
    assert estimator.state is not None
    estimator.restart()

    assert estimator.state is None
    assert run(estimator, Motion(still), 1)[-1].time == 1.0  # earlier than before


def test_ignores_images_without_imu_samples_and_old_ones(estimator):
    ids, directions = np.arange(20), np.zeros((20, 2))

    assert estimator.add_tracks(0.0, ids, directions) is None

    state = run(estimator, Motion(still), 1)[-1]
    assert estimator.add_tracks(0.5, ids, directions) is state
    assert estimator.restarts == 0


def test_no_tracks_for_a_while_is_bridged_by_the_imu(estimator):
    """0.5 s without any track, at 1 m/s on a circle."""
    motion = Motion(circle)
    run(estimator, motion, 3, noise=NOISE)
    empty = np.empty(0, int), np.empty((0, 2))
    for number in range(1, 101):
        time = 3 + number / 200
        estimator.add_imu(time, *motion.imu(time))
        if number % 20 == 0:
            state = estimator.add_tracks(time, *empty)

    assert estimator.restarts == 0
    assert np.linalg.norm(state.velocity) == pytest.approx(2 * np.pi / 6, abs=0.1)
