"""One camera of the tracker node: its topics, its thread, its accounting."""

from __future__ import annotations

import threading
import time
import traceback

import cv2
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud
from std_msgs.msg import Bool

from superpoint_rknn.features.stamps import jumps
from superpoint_rknn.features.tracks import Tracker
from superpoint_rknn.msg import Descriptors, Keypoints
from superpoint_rknn.nodes.camera import FEATURES, THROTTLE
from superpoint_rknn.nodes.diagnostics import Accounting
from superpoint_rknn.nodes.executor import NO_PUBLISHER_EVENTS, NO_SUBSCRIPTION_EVENTS
from superpoint_rknn.nodes.image_subscription import ImageSubscription
from superpoint_rknn.nodes.messages import grey_image
from superpoint_rknn.nodes.parameter_table import Parameters
from superpoint_rknn.nodes.tracker_features import FeatureOutput
from superpoint_rknn.nodes.tracker_messages import (
    descriptor_rows,
    points_of,
    tracks_message,
)
from superpoint_rknn.nodes.tracker_queue import ImageJob, TrackerQueue, nanoseconds

IMAGES_DEPTH = 5  # every image counts here: two that come at once are both tracked
CAMERA_INFOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


class TrackerCamera:
    """
    From `image`, `keypoints`, `descriptors` and `camera_info` to `tracks`, `feature`, `restart`.

    Messages arrive in the executor; a thread of its own, from activation to deactivation, does
    the work.
    """

    def __init__(self, node: LifecycleNode, parameters: Parameters):
        self.accounting = Accounting()
        self.tracker = Tracker(parameters.settings)
        self.alive = 0  # tracks in the newest image
        self._node = node
        self._log = node.get_logger()
        self._parameters = parameters
        self._queue: TrackerQueue | None = None
        self._thread: threading.Thread | None = None
        self._subscriptions = []
        self._images: ImageSubscription | None = None
        self._last_stamp: int | None = None
        self._publishers = []
        self._tracks = self._publisher(Keypoints, 'tracks')
        self._output = FeatureOutput(
            node,
            parameters,
            self.accounting,
            self._publisher(PointCloud, 'feature'),
            self._publisher(Bool, 'restart'),
        )

    @property
    def active(self) -> bool:
        """Whether it takes images."""
        return self._images is not None

    def _publisher(self, kind: type, topic: str):
        publisher = self._node.create_lifecycle_publisher(
            kind,
            topic,
            FEATURES,
            event_callbacks=NO_PUBLISHER_EVENTS,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        self._publishers.append(publisher)
        return publisher

    def activate(self) -> None:
        """Begin to take images, with no tracks."""
        self._queue = TrackerQueue()
        self.tracker.restart()
        self._output.forget()
        self._last_stamp = None
        for kind, topic, callback, qos in (
            (Keypoints, 'keypoints', self._queue.put_keypoints, FEATURES),
            (Descriptors, 'descriptors', self._queue.put_descriptors, FEATURES),
            (CameraInfo, 'camera_info', self._on_camera_info, CAMERA_INFOS),
        ):
            subscription = self._node.create_subscription(
                kind,
                topic,
                callback,
                qos,
                event_callbacks=NO_SUBSCRIPTION_EVENTS,
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
            self._subscriptions.append(subscription)
        self._images = ImageSubscription(
            self._node,
            'image',
            self._parameters['image_transport'] == 'compressed',
            self._on_image,
            self.accounting,
            IMAGES_DEPTH,
        )
        self._thread = threading.Thread(target=self._work, name='tracker', daemon=True)
        self._thread.start()

    def deactivate(self) -> None:
        """Take no more images, wait for the one being tracked; what still waits is dropped."""
        if self._images is not None:
            self._images.destroy()
            self._images = None
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.pop())
        if self._thread is not None:
            for _ in range(self._queue.clear()):
                self.accounting.settle('dropped')
            self._queue.close()
            self._thread.join()
            self._thread = None

    def destroy(self) -> None:
        """Take the publishers down."""
        for publisher in self._publishers:
            self._node.destroy_lifecycle_publisher(publisher)

    def _on_image(self, message: Image | CompressedImage) -> None:
        """Leave an image for the thread; the oldest gives way where too many wait."""
        self.accounting.arrive()
        detector = self._node.count_publishers('keypoints')
        wait = self._parameters['keypoints_wait'] if detector else 0.0
        if self._queue.put_image(message, wait) is not None:
            self.accounting.settle('dropped')

    def _on_camera_info(self, message: CameraInfo) -> None:
        self._output.calibration.info = message

    def _work(self) -> None:
        while (item := self._queue.take()) is not None:
            try:
                if isinstance(item, ImageJob):
                    self._track(item)
                else:
                    self._describe(item)
            except ValueError as error:
                self._log.warning(f'descriptors refused: {error}', throttle_duration_sec=THROTTLE)
            except Exception:
                self._log.error(
                    f'given up:\n{traceback.format_exc()}', throttle_duration_sec=THROTTLE
                )

    def _track(self, job: ImageJob) -> None:
        """Track one image and publish; a bad one is warned of and counted."""
        fate = 'failed'
        start = time.perf_counter()
        header = job.message.header
        try:
            image = grey_image(job.message)
            self._check_stamp(job.stamp)
            lens = self._output.calibration.lens(image.shape)
            self.tracker.settings = self._parameters.settings
            keypoints = self._keypoints_of(job, image.shape)
            tracks = self.tracker.track(image, job.stamp, keypoints, lens)
            tracked = time.perf_counter()
            self._tracks.publish(tracks_message(header, image.shape, tracks))
            self._output.publish(header, tracks, lens)
            self.alive = len(tracks)
            fate = 'published'
        except (ValueError, cv2.error) as error:
            self._log.warning(
                f'{self._node.resolve_topic_name("image")}: image refused: {error} '
                f'({self.accounting["failed"] + 1} images failed so far)',
                throttle_duration_sec=THROTTLE,
            )
            return
        finally:
            self.accounting.settle(fate)
        end = time.perf_counter()
        self.accounting.stages(
            {
                'wait': 1e3 * (start - job.arrived),
                'track': 1e3 * (tracked - start),
                'publish': 1e3 * (end - tracked),
                'total': 1e3 * (end - job.arrived),
            }
        )

    def _describe(self, message: Descriptors) -> None:
        """Take descriptors of an image; ValueError if the message contradicts itself."""
        points = points_of(message.keypoints)
        rows = descriptor_rows(message)
        self.accounting.count('descriptors')
        start = time.perf_counter()
        stamp = nanoseconds(message.header.stamp)
        self.tracker.describe(stamp, points.x, points.y, rows, message.model)
        self.accounting.stages({'describe': 1e3 * (time.perf_counter() - start)})

    def _keypoints_of(self, job: ImageJob, size: tuple[int, int]):
        """Keypoints of an image; none, with a warning, if the message can't be of it."""
        message = job.keypoints
        if message is None:
            self.accounting.count('without_keypoints')
            return None
        try:
            if (message.height, message.width) != size:
                raise ValueError(
                    f'height, width: {message.height}, {message.width}, the image has {size}'
                )
            return points_of(message)
        except ValueError as error:
            self.accounting.count('without_keypoints')
            self._log.warning(f'keypoints refused: {error}', throttle_duration_sec=THROTTLE)
            return None

    def _check_stamp(self, stamp: int) -> None:
        """Begin anew where stamps jump; ValueError for a stamp that the image before had."""
        last = self._last_stamp
        if stamp == last:
            raise ValueError(f'header.stamp: {stamp} ns, the same as of the image before')
        if jumps(last, stamp):
            times = self.accounting.count('restarts')
            self._log.warning(
                f'header.stamp jumps from {last} to {stamp} ns: all tracks end '
                f'(seen {times} times)',
                throttle_duration_sec=THROTTLE,
            )
            self._output.restart()
            self.tracker.restart()
        self._last_stamp = stamp
