"""The tracker thread of one camera or stereo pair."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Sequence

import cv2

from superpoint_rknn.features.keypoints import Keypoints as Points
from superpoint_rknn.features.rate import jumps
from superpoint_rknn.msg import Descriptors
from superpoint_rknn.nodes.common.diagnostics import THROTTLE
from superpoint_rknn.nodes.common.managed_node import ManagedNode
from superpoint_rknn.nodes.common.messages import nanoseconds
from superpoint_rknn.nodes.common.parameters import Parameters
from superpoint_rknn.nodes.tracker.calibration import CameraTracks
from superpoint_rknn.nodes.tracker.camera import TrackerCamera
from superpoint_rknn.nodes.tracker.feature_output import FeatureOutput
from superpoint_rknn.nodes.tracker.inputs import TrackerInputs
from superpoint_rknn.nodes.tracker.messages import descriptor_rows, points_of
from superpoint_rknn.nodes.tracker.queue import IMAGES, ImageJob, LateKeypoints
from superpoint_rknn.tracking.stereo import StereoMemory, match_stereo
from superpoint_rknn.tracking.tracker import Tracker


class TrackerThread:
    """
    Track the keypoints of a camera, and match the tracks in the images of the right camera.

    A thread that runs from `activate` to `deactivate` processes what `inputs` puts into the queue.
    cameras: one camera, or the left and the right camera of a stereo pair.
    """

    def __init__(
        self,
        node: ManagedNode,
        parameters: Parameters,
        cameras: Sequence[TrackerCamera],
        output: FeatureOutput,
    ):
        self.cameras = cameras
        self.tracker = Tracker(parameters.settings)
        self._left, self._right = cameras[0], cameras[1] if len(cameras) > 1 else None
        self._stereo = StereoMemory()
        self._log = node.get_logger()
        self._parameters = parameters
        self.output = output
        self.inputs = TrackerInputs(node, parameters, cameras)
        self._thread: threading.Thread | None = None
        self._tracked = self._left  # the camera of the newest image
        self._last_stamp: int | None = None
        self._size = (0, 0)  # height, width of the newest image; 0: none since the start

    def activate(self) -> None:
        """Subscribe and start the thread, without tracks."""
        self.tracker.restart()
        self.output.reset()
        self._last_stamp, self._size = None, (0, 0)
        self.inputs.activate()
        self._thread = threading.Thread(
            target=self._work, name=f'tracker_{self._left.name}', daemon=True
        )
        self._thread.start()

    def deactivate(self) -> None:
        """Unsubscribe, drop waiting images, wait until the thread ends."""
        self.inputs.deactivate()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _work(self) -> None:
        while (item := self.inputs.queue.take()) is not None:
            try:
                if isinstance(item, ImageJob):
                    self._track(item)
                elif isinstance(item, LateKeypoints):
                    self._begin_late(item)
                else:
                    self._describe(item)
            except ValueError as error:
                what = 'descriptors' if isinstance(item, Descriptors) else 'keypoints'
                self._log.warning(f'{what} refused: {error}', **THROTTLE)
            except Exception:
                self._log.error(f'image dropped:\n{traceback.format_exc()}', **THROTTLE)

    def _track(self, job: ImageJob) -> None:
        """Track an image and publish its tracks; log and count an invalid image as failed."""
        outcome, right_outcome = 'failed', 'dropped'
        camera = self.cameras[job.camera]
        start = time.perf_counter()
        try:
            image = job.image.grey()
            self._follow(camera)
            self._check_stamp(job.image.stamp)
            self._check_size(camera, image.shape)
            height, width = image.shape
            camera_model = camera.calibration.camera_model(
                (height, width), self._parameters['rectified']
            )
            self.tracker.settings = self._parameters.settings
            keypoints = self._keypoints_of(job, (height, width))
            tracks = self.tracker.track(image, job.image.stamp, keypoints, camera_model)
            tracked = time.perf_counter()
            camera.publish(job.image, tracks)
            outcome = 'published'
            seen = CameraTracks(tracks, camera_model, camera.calibration)
            right = None
            if self._right not in (None, camera):
                right, right_outcome = self._find_right(self._right, job, seen)
            found = time.perf_counter()
            if camera is self._left:
                self.output.publish(job.image.message.header, seen, right)
        except (ValueError, cv2.error) as error:
            camera.warnings.warn_refused(error)
            return
        finally:
            camera.counters.finish(outcome)
            if self._right is not None and job.right is not None:
                self._right.counters.finish(right_outcome)
        end = time.perf_counter()
        camera.counters.stages(
            {
                'wait': 1e3 * (start - job.image.arrived),
                'track': 1e3 * (tracked - start),
                **({} if self._right is None else {'stereo': 1e3 * (found - tracked)}),
                'publish': 1e3 * (end - found),
                'total': 1e3 * (end - job.image.arrived),
            }
        )

    def _find_right(
        self, camera: TrackerCamera, job: ImageJob, left: CameraTracks
    ) -> tuple[CameraTracks | None, str]:
        """Match the tracks in the right image and publish them; return them and its outcome."""
        if job.right is None:
            self._left.counters.count('without_right')
            return None, 'dropped'
        try:
            image = job.right.grey()
            height, width = image.shape
            camera_model = camera.calibration.camera_model(
                (height, width), self._parameters['rectified']
            )
            camera_models = (left.camera_model, camera_model)
            tracks = match_stereo(
                job.image.grey(),
                image,
                left.tracks,
                self.tracker.settings,
                camera_models,
                self._stereo,
            )
            camera.publish(job.right, tracks)
        except (ValueError, cv2.error) as error:
            camera.warnings.warn_refused(error)
            return None, 'failed'
        return CameraTracks(tracks, camera_model, camera.calibration), 'published'

    def _begin_late(self, late: LateKeypoints) -> None:
        """Begin tracks at keypoints that arrived late. Raises ValueError if they are invalid."""
        start = time.perf_counter()
        stamp = nanoseconds(late.message.header.stamp)
        begun = self.tracker.add_keypoints(stamp, points_of(late.message, self._size))
        self._tracked.counters.stages({'late_keypoints': 1e3 * (time.perf_counter() - start)})
        times = self._tracked.counters['late_keypoints']
        outcome = (
            'no track begins at them, since their image is no longer kept'
            if begun is None
            else f'{begun} tracks begin at them now, where they are in the newest image'
        )
        self._log.warning(
            f'keypoints arrived {late.delay:.2f} s after their image, which was tracked without '
            f'them: {outcome}; keypoints_wait is {self._parameters["keypoints_wait"]:g} s, and '
            f'{IMAGES} images wait at most (seen {times} times)',
            **THROTTLE,
        )

    def _describe(self, message: Descriptors) -> None:
        """Add the descriptors of an image to the tracker. Raises ValueError if invalid."""
        points = points_of(message.keypoints)
        rows = descriptor_rows(message)
        self._tracked.counters.count('descriptors')
        start = time.perf_counter()
        stamp = nanoseconds(message.header.stamp)
        self.tracker.add_descriptors(stamp, points.x, points.y, rows, message.model)
        self._tracked.counters.stages({'describe': 1e3 * (time.perf_counter() - start)})

    def _keypoints_of(self, job: ImageJob, size: tuple[int, int]) -> Points | None:
        """Return the keypoints of an image; None, with a warning, if they are invalid."""
        if job.keypoints is not None:
            try:
                return points_of(job.keypoints, size)
            except ValueError as error:
                self._log.warning(f'keypoints refused: {error}', **THROTTLE)
        self._tracked.counters.count('without_keypoints')
        return None

    def _follow(self, camera: TrackerCamera) -> None:
        """Restart the tracker if the images of another camera of the pair are tracked from now."""
        if camera is not self._tracked:
            self._log.warning(f'all tracks end; new ones begin in {camera.name}/image')
            self._tracked, self._last_stamp, self._size = camera, None, (0, 0)
            self._restart()

    def _check_stamp(self, stamp: int) -> None:
        """Restart the tracker if stamps jump. Raises ValueError if a stamp is repeated."""
        last = self._last_stamp
        if stamp == last:
            raise ValueError(f'header.stamp: {stamp} ns, the same as the previous image')
        if jumps(last, stamp):
            times = self._tracked.counters.count('restarts')
            self._log.warning(
                f'header.stamp jumps from {last} to {stamp} ns: all tracks end '
                f'(seen {times} times)',
                **THROTTLE,
            )
            self._restart()
        self._last_stamp = stamp

    def _check_size(self, camera: TrackerCamera, size: tuple[int, int]) -> None:
        """Restart the tracker, with a warning, if the size of the images changes."""
        camera.warnings.check_size(size)
        if self._size not in ((0, 0), size):
            self._restart()
        self._size = size

    def _restart(self) -> None:
        """End all tracks, and tell estimators so."""
        self.output.restart()
        self.tracker.restart()
