"""The window of keyframes on an exactly known motion."""

import gtsam
import numpy as np
import pytest
from motion import BODY_FROM_CAMERA, IMU_RATE, Motion, cloud, view, weaving

from superpoint_rknn.vio.keyframes import Anchor, Keyframe, TrackedImage
from superpoint_rknn.vio.preintegration import ImuSamples
from superpoint_rknn.vio.settings import EstimatorSettings
from superpoint_rknn.vio.window import Window

SETTINGS = EstimatorSettings(keyframes=4)
ANCHOR = Anchor(tilt=0.05, speed=0.5, gyro_bias=0.01, acc_bias=0.05)
NO_BIAS = gtsam.imuBias.ConstantBias()
FAR_OFF = np.array([0.05, 0.0])  # 20 px


@pytest.fixture
def window():
    """Nine keyframes in 1.6 s with the true motion, and the landmarks that all of them see."""
    motion, points = Motion(weaving), cloud()
    imu = ImuSamples(SETTINGS)
    for number in range(2 * IMU_RATE):
        imu.add(number / IMU_RATE, *motion.imu(number / IMU_RATE))
    keyframes = []
    for number, time in enumerate(np.arange(9) / 5):
        seen = dict(zip(*view(points, motion, time), strict=True))
        pose = gtsam.Pose3(gtsam.Rot3(motion.rotation(time)), motion.position(time))
        since = imu.integrate(time - 0.2, time, NO_BIAS) if number else None
        keyframes.append(
            Keyframe(
                TrackedImage(number, time, seen),
                *(gtsam.NavState(pose, motion.velocity(time)), NO_BIAS, since),
            )
        )
    common = set.intersection(*(set(keyframe.seen) for keyframe in keyframes))
    pose = gtsam.Pose3(BODY_FROM_CAMERA)
    return Window(SETTINGS, pose, keyframes, ANCHOR, {i: points[i] for i in common})


def test_true_motion_has_no_error(window):
    assert window.rms_error() < 1e-6


def test_removes_a_single_outlier(window):
    track = min(window.points)
    window.keyframes[2].seen[track] = window.keyframes[2].seen[track] + FAR_OFF

    window.reject_outliers()

    assert [track in k.seen for k in window.keyframes] == [n != 2 for n in range(9)]
    assert track in window.points
    assert window.rms_error() < 1e-6


@pytest.mark.parametrize('wrong', [(1, 3), (8,)])
def test_removes_a_track_with_two_outliers_or_a_last_one(window, wrong):
    track, other = sorted(window.points)[:2]
    for number in wrong:
        seen = window.keyframes[number].seen
        seen[track] = seen[track] + FAR_OFF

    window.reject_outliers()

    assert track not in window.points
    assert not any(track in keyframe.seen for keyframe in window.keyframes)
    assert other in window.points


def test_optimisation_finds_the_truth(window):
    newest = window.newest
    pose = newest.navigation.pose().retract(np.array([0.02, -0.01, 0.03, 0.1, -0.1, 0.05]))
    newest.navigation = gtsam.NavState(pose, np.zeros(3))

    window.optimise(10, 1e-6)

    np.testing.assert_allclose(newest.navigation.position(), weaving(1.6), atol=2e-3)
    expected = Motion(weaving).velocity(1.6)
    np.testing.assert_allclose(newest.navigation.velocity(), expected, atol=5e-3)


def test_what_leaves_the_window_is_not_forgotten(window):
    """Marginalisation of five of nine keyframes keeps what is known of the newest velocity."""
    before = window.speed_sigma()

    window.shrink()

    assert len(window.keyframes) == 5
    assert window.speed_sigma() == pytest.approx(before, rel=0.02)


def test_landmarks_that_nobody_sees_leave(window):
    track = min(window.points)
    for keyframe in window.keyframes[3:]:
        del keyframe.seen[track]

    window.shrink()

    assert track not in window.points
    assert len(window.points) > 10
