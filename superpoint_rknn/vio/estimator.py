"""
Monocular visual-inertial odometry on GTSAM: tracks and IMU samples in, poses out.

A sliding window of keyframes is optimised for each image (S. Leutenegger et al., Keyframe-based
visual-inertial odometry using nonlinear optimization, IJRR 2015): preintegrated IMU samples
between keyframes, one reprojection error for each observation of a landmark, and a linear prior
that keeps what is known from keyframes and landmarks that have left the window.

Frames: body is the IMU. The world's z axis points up; its origin and yaw are those of the body at
the start.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import gtsam
import numpy as np

from superpoint_rknn.vio.initialization import Initialization
from superpoint_rknn.vio.keyframes import Keyframe, TrackedImage
from superpoint_rknn.vio.preintegration import ImuSamples
from superpoint_rknn.vio.settings import EstimatorSettings
from superpoint_rknn.vio.window import Window

log = logging.getLogger(__name__)

MAX_GAP = 1.0  # [s] between images; a longer one restarts the estimator
# Beyond these the motion is lost: rad/s, m/s^2, m/s.
MAX_GYRO_BIAS, MAX_ACC_BIAS, MAX_SPEED = 0.2, 1.5, 30.0


@dataclass(frozen=True)
class State:
    """Motion of the body at the time of an image."""

    time: float  # [s], of the image
    rotation: np.ndarray  # (3, 3), world from body
    position: np.ndarray  # (3,), of the body in the world [m]
    velocity: np.ndarray  # (3,), of the body in the world [m/s]
    gyro_bias: np.ndarray  # (3,) [rad/s]
    acc_bias: np.ndarray  # (3,) [m/s^2]


class Estimator:
    """
    Estimate the motion of an IMU with a camera. Not thread-safe.

    It starts by itself, at rest or in motion, and again when the motion is lost.

    body_from_camera: (4, 4) pose of the camera (x right, y down, z forward) in the body's frame.
    """

    def __init__(self, settings: EstimatorSettings, body_from_camera: np.ndarray):
        self.state: State | None = None  # at the newest image; None: not started
        self.restarts = 0  # how often the motion was lost
        self._settings = settings
        self._body_from_camera = gtsam.Pose3(np.asarray(body_from_camera, np.float64))
        self._images = 0
        self._time: float | None  # of the newest image
        self._window: Window | None
        self._has_moved: bool  # True: the window has had landmarks
        self._initialization: Initialization
        self.restart()

    def restart(self) -> None:
        """Forget all images and IMU samples, as after a jump of time."""
        self._imu = ImuSamples(self._settings)
        self._start_again()

    def add_imu(self, time: float, gyro: np.ndarray, acc: np.ndarray) -> None:
        """
        Add an IMU sample; one that is not newer than the last one is ignored.

        time: [s], in the clock of the images. gyro: (3,) [rad/s]. acc: (3,) [m/s^2], as measured:
        at rest it is `gravity`, upwards.
        """
        self._imu.add(time, gyro, acc)

    def add_tracks(self, time: float, ids: np.ndarray, directions: np.ndarray) -> State | None:
        """
        Add the tracks of an image; return the state at its time, None if not started.

        The IMU samples up to the time of the image, better one beyond, must have been added.
        An image that is not newer than the last one, or has no IMU samples, is ignored.

        time: [s]. ids: (N,) int; an id belongs to one landmark and does not return after a gap, as
        `Tracks.key` and the ids in `feature`. directions: (N, 2) undistorted X / Z, Y / Z; rows
        with NaN are ignored.
        """
        if self._time is not None and time <= self._time:
            return self.state
        if self._time is not None and time - self._time > MAX_GAP:
            self._lose(f'no image for {time - self._time:.1f} s')
        if not self._imu.covers(time if self._time is None else self._time, time):
            if self._time is not None:
                self._lose(f'no IMU samples before the image at {time:.3f} s')
            return None
        self._time = time
        self._images += 1
        directions = np.asarray(directions, np.float64)
        usable = np.isfinite(directions).all(axis=1)
        seen = dict(zip(np.asarray(ids)[usable].tolist(), directions[usable], strict=True))
        try:
            self._process(TrackedImage(self._images, time, seen))
        except RuntimeError as error:  # of GTSAM: variables that are not determined
            self._lose(str(error).strip().splitlines()[0])
        return self.state

    def _process(self, image: TrackedImage) -> None:
        """Start, or update the window; raises RuntimeError if its variables are not determined."""
        if not self._has_moved:
            self._initialization.add(image)
            self._window = self._started() or self._window
        if self._window is None:
            self._imu.discard_before(self._initialization.oldest)
            return
        if self._window.newest.number != image.number:
            self._window.add(image, self._imu)
            self._window.update()
        self._has_moved = self._has_moved or bool(self._window.points)
        self._imu.discard_before(image.time - self._settings.start_span * 2)
        self.state = state_of(self._window.newest)
        if not is_plausible(self.state):
            self._lose('biases or velocity are too large')

    def _started(self) -> Window | None:
        """Return a new window; None: not known yet, or the body has left its rest."""
        at_rest = self._initialization.start_at_rest(self._imu)
        if at_rest is not None or self._window is not None:
            return at_rest  # as long as it is at rest, each image is a new start without drift
        return self._initialization.start_in_motion(self._imu)

    def _lose(self, reason: str) -> None:
        if self.state is not None:
            log.warning('the motion is lost: %s', reason)
            self.restarts += 1
        self._start_again()

    def _start_again(self) -> None:
        self.state = None
        self._time = None
        self._window = None
        self._has_moved = False
        self._initialization = Initialization(self._settings, self._body_from_camera)


def state_of(keyframe: Keyframe) -> State:
    """State at a keyframe."""
    navigation, bias = keyframe.navigation, keyframe.bias
    return State(
        keyframe.image.time,
        *(navigation.attitude().matrix(), navigation.position(), navigation.velocity()),
        *(bias.gyroscope(), bias.accelerometer()),
    )


def is_plausible(state: State) -> bool:
    """Return whether biases and velocity are those of a body whose motion is not lost."""
    return bool(
        np.abs(state.gyro_bias).max() < MAX_GYRO_BIAS
        and np.abs(state.acc_bias).max() < MAX_ACC_BIAS
        and np.abs(state.velocity).max() < MAX_SPEED
    )
