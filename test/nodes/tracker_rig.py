"""A graph with a camera, a detector, and subscriptions to the topics of the tracker."""

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import ReliabilityPolicy
from ros_graph import RELIABLE, image_message
from sensor_msgs.msg import CameraInfo, Image, PointCloud
from std_msgs.msg import Bool

from superpoint_rknn.msg import Keypoints
from superpoint_rknn.nodes.common.messages import float_array

TRACKER = ('-m', 'superpoint_rknn.nodes.tracker.node')
STEP = 50_000_000  # [ns] between two images
K = np.array([[500.0, 0, 319.5], [0, 500, 199.5], [0, 0, 1]])


def rotated_view(photo, rotation):
    """View of a distant photograph after a rotation [rad], and the homography to its pixels."""
    matrix, _ = cv2.Rodrigues(np.array(rotation, float))
    homography = K @ matrix @ np.linalg.inv(K)
    return cv2.warpPerspective(photo, homography, photo.shape[::-1]), homography


def stamp_ns(message):
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


class TrackerRig:
    """
    A graph with an `image` publisher and subscriptions to the tracker's topics.

    name: of the camera, the prefix of its topics if there are several cameras.
    """

    def __init__(self, graph, name=''):
        self.graph = graph
        self.name = name
        self.prefix = f'{name}/' if name else ''
        self.camera = graph.node.create_publisher(Image, f'{self.prefix}image', RELIABLE)
        self.info = graph.node.create_publisher(CameraInfo, f'{self.prefix}camera_info', RELIABLE)
        self.detector = None
        self.tracks = graph.collect(Keypoints, f'{self.prefix}tracks')
        self.features = graph.collect(PointCloud, 'feature')
        self.restarts = graph.collect(Bool, 'restart')
        self.diagnostics = []  # of the tracker only
        graph.node.create_subscription(DiagnosticArray, '/diagnostics', self._on_status, RELIABLE)
        self.stamp = 10**9  # [ns]

    def _on_status(self, message):
        if message.status[0].name.startswith('/tracker'):
            self.diagnostics.append(message)

    def start(self, image, calibration=None, detector=True, **parameters):
        """Start the tracker; publish an image until tracks arrive: all topics are connected."""
        if detector:
            self.add_detector()
        process = self.graph.start(*TRACKER, **parameters)
        self.warm_up(image, calibration)
        return process

    def add_detector(self):
        """Let `send` publish keypoints, too, as a detector would."""
        self.detector = self.graph.node.create_publisher(
            Keypoints, f'{self.prefix}keypoints', RELIABLE
        )

    def warm_up(self, image, calibration=None):
        def warm():
            return self.tracks and self.tracks[-1].id and (self.features or not calibration)

        # A node subscribes as BEST_EFFORT, and again as RELIABLE once it knows that all publishers
        # are. An image that is sent before that is lost.
        self.graph.wait(self._is_subscribed, 'a reliable subscription to images')
        for _ in range(20):
            self.send(image, calibration)
            if self.graph.spin(warm, 2.0):
                return
        self.graph.wait(warm, 'tracks, and features if a calibration is given', 0)

    def _is_subscribed(self):
        found = self.graph.node.get_subscriptions_info_by_topic(self.camera.topic_name)
        return found and all(
            info.qos_profile.reliability == ReliabilityPolicy.RELIABLE for info in found
        )

    def send(self, image, calibration=None, step=STEP, keypoints=True, **fields):
        """Publish an image `step` [ns] after the last one, with keypoints after `add_detector`."""
        self.stamp += step
        message = image_message(image)
        message.header.frame_id = 'camera_optical'
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(self.stamp, 10**9)
        for name, value in fields.items():
            setattr(message, name, value)
        if calibration is not None:
            calibration.header = message.header
            self.info.publish(calibration)
        if self.detector is not None and keypoints:
            self.detector.publish(corners(message.header, image))
        self.camera.publish(message)
        return message

    def track(self, image, calibration=None, **kwargs):
        """Publish an image and wait for its tracks; return both messages."""
        message = self.send(image, calibration, **kwargs)
        stamp = stamp_ns(message)
        self.graph.wait(lambda: self.tracks and stamp_ns(self.tracks[-1]) == stamp, 'tracks')
        return message, self.tracks[-1]

    def status(self):
        """Newest status of the camera."""
        title = f': {self.name or "camera"}'
        (status,) = (s for s in self.diagnostics[-1].status if s.name.endswith(title))
        return status

    def counts(self):
        """Values of the newest diagnostics, as text."""
        return {v.key: v.value for v in self.status().values}


def corners(header, image):
    """Keypoints by Shi and Tomasi, a hundred times faster than the network."""
    found = cv2.goodFeaturesToTrack(image, 150, 0.01, 12)
    x, y = np.zeros((2, 0)) if found is None else found[:, 0].T
    return Keypoints(
        header=header,
        height=image.shape[0],
        width=image.shape[1],
        x=float_array(x),
        y=float_array(y),
        score=float_array(np.linspace(1, 0.1, len(x))),
    )


def calibration(**fields):
    return CameraInfo(
        **{
            'height': 400,
            'width': 640,
            'distortion_model': 'plumb_bob',
            'd': [0.0] * 5,
            'k': K.ravel().tolist(),
            **fields,
        }
    )
