"""Start of the estimator: at rest, or in motion by aligning the tracks with the IMU."""

from __future__ import annotations

import gtsam
import numpy as np

from superpoint_rknn.vio.alignment import Alignment, Motion, Observations, align
from superpoint_rknn.vio.keyframes import Anchor, Keyframe, TrackedImage, parallax
from superpoint_rknn.vio.preintegration import ImuSamples
from superpoint_rknn.vio.settings import EstimatorSettings
from superpoint_rknn.vio.window import Window

REST_PARALLAX = 1.0  # [px], at most
# Standard deviations of an axis at rest, at most [rad/s], [m/s^2]
REST_GYRO, REST_ACC = 0.02, 0.2
REST_ACC_CHANGE = 0.1  # [m/s^2] of the last fifth from the mean, at most: no motion begins
AT_REST = Anchor(tilt=0.01, speed=0.02, gyro_bias=0.002, acc_bias=0.05)
MOVING = Anchor(tilt=0.5, speed=10.0, gyro_bias=0.02, acc_bias=0.1)
MIN_VIEWS = 5  # of a track that is used for the alignment
MIN_MOTION = 8.0  # [px], of such a track
TRACKS = (20, 80)  # used for the alignment, at least and at most
MIN_LANDMARKS = 15  # after the optimisation
TOLERANCE = 1e-6  # relative; the first solution may be far from the optimum
MAX_RMS = 2.0  # reprojection error after it, in standard deviations
MAX_ACC_BIAS = 0.4  # [m/s^2]; a larger one means a wrong solution


def upright(down: np.ndarray) -> gtsam.Rot3:
    """Attitude, world from body, with yaw 0; down: (3,) direction of gravity in the body."""
    z = -down / np.linalg.norm(down)
    x = np.cross([0.0, 1.0, 0.0], z)
    if np.linalg.norm(x) < 0.1:
        x = np.cross(z, [0.0, 0.0, 1.0])
    x /= np.linalg.norm(x)
    return gtsam.Rot3(np.stack([x, np.cross(z, x), z]))


class Initialization:
    """Collect images until the state is known, then return the first window."""

    def __init__(self, settings: EstimatorSettings, body_from_camera: gtsam.Pose3):
        self._settings = settings
        self._body_from_camera = body_from_camera
        self._images: list[TrackedImage] = []

    @property
    def oldest(self) -> float:
        """Time of the oldest image that is needed [s]."""
        return self._images[0].time

    def add(self, image: TrackedImage) -> None:
        """Add an image."""
        self._images.append(_copy(image))
        while len(self._images) > 2 and image.time - self.oldest > 2 * self._settings.start_span:
            self._images.pop(0)

    def start_at_rest(self, imu: ImuSamples) -> Window | None:
        """Return a window of the newest image if the body has been at rest."""
        newest = self._images[-1]
        settings = self._settings
        images = [i for i in self._images if i.time >= newest.time - settings.rest_span - 1e-3]
        oldest = images[0]
        if newest.time - oldest.time < settings.rest_span - 1e-2:
            return None
        if parallax(oldest, newest) * settings.focal > REST_PARALLAX:
            return None
        rows = imu.between(oldest.time, newest.time)[1][1:-1]
        deviation: np.ndarray = rows.std(axis=0)
        mean = rows.mean(axis=0)
        change = np.abs(rows[-len(rows) // 5 :].mean(axis=0) - mean)  # at the end
        if deviation[:3].max() > REST_GYRO or deviation[3:].max() > REST_ACC:
            return None
        if change[3:].max() > REST_ACC_CHANGE:
            return None
        pose = gtsam.Pose3(upright(-mean[3:]), np.zeros(3))
        keyframe = Keyframe(
            _copy(newest),
            gtsam.NavState(pose, np.zeros(3)),
            gtsam.imuBias.ConstantBias(np.zeros(3), mean[:3]),
        )
        return Window(settings, self._body_from_camera, [keyframe], AT_REST)

    def start_in_motion(self, imu: ImuSamples) -> Window | None:
        """Align the tracks with the IMU; return the window if the result is certain."""
        settings, oldest, newest = self._settings, self._images[0], self._images[-1]
        if newest.time - oldest.time < settings.start_span - 1e-3:
            return None
        if parallax(oldest, newest) * settings.focal < settings.start_parallax:
            return None
        tracks = self._tracks_for_alignment()
        if len(tracks) < TRACKS[0]:
            return None
        integrated = self._integrate(imu, gtsam.imuBias.ConstantBias())
        times = np.array([image.time for image in self._images])

        def motion_of(gyro_bias: np.ndarray) -> Motion:
            bias = gtsam.imuBias.ConstantBias(np.zeros(3), gyro_bias)
            return _motion(times, integrated, bias, settings.gravity)

        observations = self._observations(tracks)
        sigma = settings.track_noise / settings.focal
        pose = self._body_from_camera.matrix()
        try:
            gyro_bias, found = align(observations, motion_of, pose, settings.gravity, sigma)
        except np.linalg.LinAlgError:
            return None
        bias = gtsam.imuBias.ConstantBias(np.zeros(3), gyro_bias)
        keyframes = self._keyframes(motion_of(gyro_bias), found, bias, imu)
        turn = upright(found.gravity).matrix()
        points = dict(zip(tracks, found.points @ turn.T, strict=True))
        window = Window(settings, self._body_from_camera, keyframes, MOVING, points)
        if not self._is_certain(window):
            return None
        window.shrink()
        return window

    def _is_certain(self, window: Window) -> bool:
        """Optimise a window; return whether its result can be trusted."""
        try:
            for iterations in (30, 10):
                window.optimise(iterations, TOLERANCE)
                window.reject_outliers()
        except RuntimeError:  # not determined
            return False
        return bool(
            len(window.points) >= MIN_LANDMARKS
            and window.rms_error() < MAX_RMS
            and np.linalg.norm(window.newest.bias.accelerometer()) < MAX_ACC_BIAS
            and window.speed_sigma() < self._settings.start_speed_sigma
        )

    def _tracks_for_alignment(self) -> list[int]:
        """Tracks of the newest image that are long and have moved, longest first."""
        lengths = {}
        for track, direction in self._images[-1].seen.items():
            seen = np.array([i.seen[track] for i in self._images if track in i.seen])
            moved = np.linalg.norm(seen - direction, axis=1).max() * self._settings.focal
            if len(seen) >= MIN_VIEWS and moved > MIN_MOTION:
                lengths[track] = len(seen)
        return sorted(lengths, key=lambda track: -lengths[track])[: TRACKS[1]]

    def _observations(self, tracks: list[int]) -> Observations:
        rows = [
            (landmark, number, image.seen[track])
            for landmark, track in enumerate(tracks)
            for number, image in enumerate(self._images)
            if track in image.seen
        ]
        landmarks, images, directions = (np.array(column) for column in zip(*rows, strict=True))
        return Observations(landmarks, images, directions)

    def _integrate(
        self, imu: ImuSamples, bias: gtsam.imuBias.ConstantBias
    ) -> list[gtsam.PreintegratedCombinedMeasurements]:
        """Preintegrated samples between consecutive images."""
        return [
            imu.integrate(first.time, second.time, bias)
            for first, second in zip(self._images, self._images[1:], strict=False)
        ]

    def _keyframes(
        self,
        motion: Motion,
        found: Alignment,
        bias: gtsam.imuBias.ConstantBias,
        imu: ImuSamples,
    ) -> list[Keyframe]:
        """Images with their motion in the world, by the solution of the alignment."""
        turn = upright(found.gravity)
        times = motion.times[:, None]
        positions = motion.positions + found.velocity * times + found.gravity * times**2 / 2
        velocities = motion.velocities + found.velocity + found.gravity * times
        integrated = [None, *self._integrate(imu, bias)]
        keyframes = []
        for number, image in enumerate(self._images):
            pose = gtsam.Pose3(
                turn.compose(gtsam.Rot3(motion.rotations[number])),
                turn.rotate(positions[number]),
            )
            navigation = gtsam.NavState(pose, turn.rotate(velocities[number]))
            keyframes.append(Keyframe(_copy(image), navigation, bias, integrated[number]))
        return keyframes


def _copy(image: TrackedImage) -> TrackedImage:
    """Copy of an image for a window, which removes observations."""
    return TrackedImage(image.number, image.time, dict(image.seen))


def _motion(
    times: np.ndarray,
    integrated: list[gtsam.PreintegratedCombinedMeasurements],
    bias: gtsam.imuBias.ConstantBias,
    gravity: float,
) -> Motion:
    """Chain preintegrated samples, without the gravity that GTSAM's prediction adds."""
    since = times - times[0]
    state = gtsam.NavState()
    states = [state]
    for measured in integrated:
        state = measured.predict(state, bias)
        states.append(state)
    pull = np.array([0, 0, -gravity])
    return Motion(
        since,
        np.array([state.attitude().matrix() for state in states]),
        np.array([state.position() for state in states]) - pull * since[:, None] ** 2 / 2,
        np.array([state.velocity() for state in states]) - pull * since[:, None],
    )
