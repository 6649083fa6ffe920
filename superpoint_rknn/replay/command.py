"""
Play a recording into a running graph without losing an image: wait for the results of each.

  superpoint_rknn replay drive.mcap
  superpoint_rknn replay drive --wait-for descriptors --ros-args -r /cam0/image_raw:=/cam0/image

BAG is a rosbag2 (folder, .mcap or .db3) or a sequence in EuRoC's format. Its messages, except
recorded keypoints, descriptors and tracks, are published in the order of recording, as fast as the
graph processes them: after each image, replay waits for a message with the image's stamp on the
result topics beside the image topic (/cam0/tracks for /cam0/image). Keypoints and tracks then do
not depend on the speed of the machine. For descriptors of every image, set the node's parameter
`descriptors.rate: 1000.0` and use `--wait-for descriptors`. Rename topics with --ros-args -r, as
for `ros2 run`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

import rclpy
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy

from superpoint_rknn.extract.feature_bag import sibling_topic
from superpoint_rknn.msg import Descriptors, Keypoints
from superpoint_rknn.nodes.common.messages import nanoseconds
from superpoint_rknn.progress import tqdm
from superpoint_rknn.quantize.calibration import Progress
from superpoint_rknn.sources.bag import IMAGE_TYPES, Images
from superpoint_rknn.sources.messages import stamp_ns

RESULTS = {'keypoints': Keypoints, 'descriptors': Descriptors, 'tracks': Keypoints}
QOS = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
START_TIMEOUT = 30.0  # [s] for nodes to subscribe to images and to advertise results
RESULT_TIMEOUT = 10.0  # [s] for the results of an image, and for all to be received at the end


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `superpoint_rknn replay`."""
    add = parser.add_argument
    add('bag', type=Path, metavar='BAG')
    add(
        '--wait-for',
        choices=list(RESULTS),
        action='append',
        help='result to wait for after each image; may be repeated (default: tracks if a '
        'tracker runs, else keypoints)',
    )
    add('--ros-args', nargs=argparse.REMAINDER, default=[], help='ROS arguments; must be last')


def run(args: argparse.Namespace) -> int:
    """Run `superpoint_rknn replay`; return the exit code."""
    images = Images(args.bag)
    rclpy.init(args=['--ros-args', *args.ros_args])
    node = rclpy.create_node('replay')
    try:
        progress = partial(tqdm, total=images.total, unit='message', disable=None)
        count = Player(node, images, args.wait_for).play(progress)
    except ExternalShutdownException:
        raise KeyboardInterrupt from None
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    print(f'{args.bag}: {count} images replayed')
    if images.missing:
        raise ValueError(images.missing_text)
    return 0


class Player:
    """
    Publish the messages of a recording; after each image, wait for its results.

    wait_for: names in RESULTS; None: tracks if the topic has a publisher, else keypoints.
    """

    def __init__(self, node: Node, images: Images, wait_for: list[str] | None):
        """Raise ValueError if the recording is a ROS 1 bag or has no images."""
        if images.is_ros1:
            raise ValueError(f'{images.path}: a ROS 1 bag; convert it with rosbags-convert')
        self._node = node
        self._images = images
        self._wait_for = wait_for
        self.publishers: dict[str, Publisher] = {}  # by topic of the recording
        self._newest: dict[str, int] = {}  # stamp [ns] of the newest message by result topic
        for topic, kind in images.types.items():
            self._advertise(topic, kind)
        self._image_topics = [t for t in self.publishers if images.types[t] in IMAGE_TYPES]
        if not self._image_topics:
            raise ValueError(f'{images.path}: no sensor_msgs/Image or CompressedImage to replay')

    def play(self, progress: Progress = iter) -> int:
        """
        Publish all messages; return the number of images.

        progress: shows how many messages were published.
        Raises TimeoutError if an image topic has no subscriber or results do not arrive,
        ValueError if the recording is damaged.
        """
        results = {topic: self._subscribe(topic) for topic in self._image_topics}
        count = 0
        for recorded in progress(self._images.recorded(self.publishers)):
            self.publishers[recorded.topic].publish(recorded.data)
            if recorded.topic in results:
                stamp = stamp_ns(recorded.message().header)
                self._spin_until(
                    lambda: all(self._newest[t] == stamp for t in results[recorded.topic]),  # noqa: B023
                    RESULT_TIMEOUT,
                    f'{recorded.name}: no message stamped {stamp} ns on '
                    + ', '.join(results[recorded.topic]),
                )
                count += 1
        self._wait_for_receipt()
        return count

    def _wait_for_receipt(self) -> None:
        """Wait until all messages are received: a publisher that ends may lose the last ones."""
        for topic, publisher in self.publishers.items():
            if not publisher.wait_for_all_acked(Duration(seconds=RESULT_TIMEOUT)):
                self._node.get_logger().warning(f'{topic}: a subscriber has lost messages')

    def _advertise(self, topic: str, kind: str) -> None:
        if kind.startswith('superpoint_rknn/'):
            self._node.get_logger().info(f'{topic} is skipped: the graph publishes its own')
            return
        try:
            package, _, name = kind.split('/')
            message_type = getattr(import_module(f'{package}.msg'), name)
        except (AttributeError, ImportError, ValueError):
            self._node.get_logger().warning(
                f'{topic} is skipped: the message type {kind} is not installed'
            )
            return
        self.publishers[topic] = self._node.create_publisher(message_type, topic, QOS)

    def _subscribe(self, topic: str) -> list[str]:
        """Wait for a subscriber of an image topic; return its result topics."""
        publisher = self.publishers[topic]
        image_topic = publisher.topic_name
        self._spin_until(
            publisher.get_subscription_count,
            START_TIMEOUT,
            f'{image_topic}: no node subscribes to it; rename it with --ros-args -r',
        )
        names = self._wait_for
        if names is None:
            tracked = self._node.count_publishers(sibling_topic(image_topic, 'tracks'))
            names = ['tracks'] if tracked else ['keypoints']
        topics = [sibling_topic(image_topic, name) for name in names]
        for name, result in zip(names, topics, strict=True):
            self._newest[result] = -1
            self._node.create_subscription(
                RESULTS[name], result, partial(self._on_result, result), QOS
            )
            self._spin_until(
                lambda: self._node.count_publishers(result),  # noqa: B023
                START_TIMEOUT,
                f'{result}: no node publishes it',
            )
        return topics

    def _on_result(self, topic: str, message: Keypoints | Descriptors) -> None:
        self._newest[topic] = nanoseconds(message.header.stamp)

    def _spin_until(self, condition: Callable[[], object], timeout: float, failure: str) -> None:
        """Spin until the condition is true. Raises TimeoutError after `timeout` [s]."""
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f'{failure} (waited {timeout:g} s)')
            rclpy.spin_once(self._node, timeout_sec=0.1)
