"""Node that finds the cameras and odometry of a graph and sends their messages to the viewer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

from superpoint_rknn.msg import Descriptors, Keypoints
from superpoint_rknn.nodes.common import qos
from superpoint_rknn.nodes.common.camera_names import MAX_CAMERAS
from superpoint_rknn.nodes.common.diagnostics import THROTTLE, ImageCounters
from superpoint_rknn.nodes.common.executor import NO_SUBSCRIPTION_EVENTS
from superpoint_rknn.nodes.common.image_subscription import ImageSubscription
from superpoint_rknn.nodes.common.image_topics import TYPES, candidates, offered
from superpoint_rknn.view import records
from superpoint_rknn.view.camera import CameraView
from superpoint_rknn.view.diagnostics import DiagnosticsView, PathView

if TYPE_CHECKING:
    from nav_msgs.msg import Odometry

KEYPOINTS_TYPE = 'superpoint_rknn/msg/Keypoints'
ODOMETRY_TYPE = 'nav_msgs/msg/Odometry'
LOOK_PERIOD = 1.0  # [s] between two looks at the graph, and between two points of a plot
IMAGE_TIMEOUT = 10.0  # [s] until a camera without an image topic is reported


class ViewNode(Node):
    """
    Find cameras and odometry, once a second, and send their messages as records.

    A camera is a topic `keypoints` with its siblings `descriptors` and `tracks`. Its image topic
    is the sibling `image` if that exists, else what the node that publishes keypoints subscribes
    to.
    send: called with records. dropped: returns how many records the viewer was too slow for.
    """

    def __init__(self, send: Callable[..., None], dropped: Callable[[], int]):
        super().__init__('view')
        self._send = send
        self._dropped = dropped
        self._dropped_before = 0
        self._cameras: dict[str, CameraView] = {}  # by prefix of the topics
        self._images: dict[str, ImageSubscription] = {}  # by prefix of the topics
        self._found: dict[str, float] = {}  # time at which a camera without images was found [s]
        self._paths: dict[str, PathView] = {}  # by topic
        self._diagnostics = DiagnosticsView(send)
        self._layout: object = None  # that was sent
        send(
            records.legend(),
            records.record('document', '/waiting', time.time(), static=True, text=self._waiting()),
        )
        self._send_layout()
        self.create_subscription(
            DiagnosticArray, '/diagnostics', self._guarded(self._on_diagnostics), qos.DIAGNOSTICS
        )
        self.create_timer(LOOK_PERIOD, self._look)

    def _waiting(self) -> str:
        """Return what the page says until a camera is found."""
        return (
            '# Waiting for a camera\n\n'
            f'No topic `keypoints` is published in the ROS domain {self.context.get_domain_id()}. '
            'Start a node, for example `ros2 launch superpoint_rknn superpoint.launch.py`.'
        )

    def _look(self) -> None:
        """Follow the graph; plot rates and latencies."""
        topics = dict(self.get_topic_names_and_types())
        found = [
            name.removesuffix('/keypoints')
            for name, types in topics.items()
            if name.endswith('/keypoints') and KEYPOINTS_TYPE in types
        ]
        for prefix in sorted(found):
            if prefix not in self._cameras and len(self._cameras) < MAX_CAMERAS:
                self._add_camera(prefix)
        for name, types in topics.items():
            if ODOMETRY_TYPE in types and name not in self._paths:
                self._add_path(name)
        self._send_layout()
        for prefix, camera in self._cameras.items():
            self._follow_images(prefix)
            camera.report()
        if (dropped := self._dropped()) > self._dropped_before:
            self.get_logger().warning(
                f'the viewer is too slow: {dropped} records discarded so far',
                **THROTTLE,
            )
        if dropped:
            rise, self._dropped_before = dropped - self._dropped_before, dropped
            self._send(records.scalars('/missing/view', time.time(), {'discarded': rise}))

    def _add_camera(self, prefix: str) -> None:
        camera = CameraView(
            prefix.strip('/') or 'camera', self._send, lambda: self.get_clock().now().nanoseconds
        )
        self._cameras[prefix] = camera
        self._found[prefix] = time.monotonic()
        self._subscribe(Keypoints, f'{prefix}/keypoints', camera.on_keypoints)
        self._subscribe(Keypoints, f'{prefix}/tracks', camera.on_tracks)
        self._subscribe(Descriptors, f'{prefix}/descriptors', camera.on_descriptors)
        self.get_logger().info(f'found the camera {prefix or "/"}')

    def _add_path(self, topic: str) -> None:
        from nav_msgs.msg import Odometry  # only where odometry is published

        path = self._paths[topic] = PathView(topic.strip('/'), self._send)

        def on_odometry(message: Odometry) -> None:
            place, turn = message.pose.pose.position, message.pose.pose.orientation
            path.add(
                np.array([place.x, place.y, place.z]), np.array([turn.x, turn.y, turn.z, turn.w])
            )

        self._subscribe(Odometry, topic, on_odometry)
        self.get_logger().info(f'found the odometry {topic}')

    def _follow_images(self, prefix: str) -> None:
        """Subscribe to the images of a camera when its topic is known."""
        if prefix in self._images:
            self._images[prefix].check()
            return
        topic = self._image_topic(prefix)
        if topic is None:
            if time.monotonic() - self._found[prefix] > IMAGE_TIMEOUT:
                self.get_logger().warning(
                    f'no image topic found for {prefix}/keypoints: name it by --ros-args -r '
                    f'{prefix}/image:=TOPIC',
                    once=True,
                )
            return
        camera = self._cameras[prefix]
        self._images[prefix] = ImageSubscription(
            self, topic, 'auto', self._guarded(camera.on_image), ImageCounters()
        )

    def _image_topic(self, prefix: str) -> str | None:
        """Return the image topic of a camera; None if it is not known."""
        sibling = self.resolve_topic_name(f'{prefix}/image')
        if offered(self, candidates(sibling, 'auto')):
            return sibling
        topics = set()
        for publisher in self.get_publishers_info_by_topic(f'{prefix}/keypoints'):
            try:
                subscribed = self.get_subscriber_names_and_types_by_node(
                    publisher.node_name, publisher.node_namespace
                )
            except RuntimeError:  # the node has ended
                continue
            topics |= {name for name, types in subscribed if set(TYPES.values()) & set(types)}
        if len(topics) > 1:
            part = f'/{prefix.strip("/")}/'
            topics = {name for name in topics if part in f'{name}/'}
        return topics.pop() if len(topics) == 1 else None

    def _subscribe(self, kind: type, topic: str, callback: Callable[[Any], None]) -> None:
        """Subscribe to a topic, RELIABLE if all its publishers are."""
        offers = [p.qos_profile.reliability for p in self.get_publishers_info_by_topic(topic)]
        is_reliable = all(offer == ReliabilityPolicy.RELIABLE for offer in offers)
        reliability = ReliabilityPolicy.RELIABLE if is_reliable else ReliabilityPolicy.BEST_EFFORT
        self.create_subscription(
            kind,
            topic,
            self._guarded(callback),
            QoSProfile(depth=qos.FEATURES.depth, reliability=reliability),
            event_callbacks=NO_SUBSCRIPTION_EVENTS,
        )

    def _guarded(self, callback: Callable[[Any], None]) -> Callable[[Any], None]:
        """Return a callback that warns of invalid messages instead of raising ValueError."""

        def call(message: Any) -> None:
            try:
                callback(message)
            except ValueError as error:
                self.get_logger().warning(
                    f'{type(message).__name__} not shown: {error}', **THROTTLE
                )

        return call

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if any(value.key in ('published', 'model') for value in status.values):
                self._diagnostics.on_status(status)

    def _send_layout(self) -> None:
        """Send what the layout depends on, if it has changed."""
        cameras = [
            (camera.entity, camera.size, ' '.join(sorted(camera.pictures)))
            for camera in self._cameras.values()
        ]
        layout = cameras, bool(self._paths)
        if layout == self._layout:
            return
        self._layout = layout
        names, sizes, pictures = ([camera[i] for camera in cameras] for i in range(3))
        self._send(
            records.record(
                'layout',
                '',
                time.time(),
                cameras=np.array(names, np.str_),
                sizes=np.array(sizes),
                pictures=np.array(pictures, np.str_),
                has_path=bool(self._paths),
            )
        )
