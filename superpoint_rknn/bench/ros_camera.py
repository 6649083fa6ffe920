"""Publish images at a steady rate and measure the latency of the answers; or only subscribe."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from superpoint_rknn.bench.recordings import VIEWS, read_recording
from superpoint_rknn.bench.ros_steps import TOPICS, image_message
from superpoint_rknn.msg import Descriptors, Keypoints

QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
WARM_UP_RATE = 30.0  # [Hz]
ANSWER_TIMEOUT = 20.0  # [s] for the first keypoints and descriptors
SETTLE_TIME = 1.0  # [s] to wait for the last answers


class LatencyProbe:
    """
    Publishes images and measures the latency of the answers.

    answer_topic: of the keypoints or tracks of an image.
    """

    def __init__(self, node: Node, answer_topic: str):
        self.latencies: list[float] = []  # from publishing an image to receiving its answer [s]
        self.descriptors_received = 0
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)
        self._camera = node.create_publisher(Image, 'image', QOS)
        node.create_subscription(Keypoints, answer_topic, self._on_answer, QOS)
        node.create_subscription(Descriptors, 'descriptors', self._on_descriptors, QOS)

    def publish(self, message: Image) -> None:
        """Publish an image with the current time as its timestamp."""
        stamp = time.monotonic_ns()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
        self._camera.publish(message)

    def spin_until(self, end: float) -> None:
        """Receive answers until a time of the monotonic clock [s]."""
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def reset(self) -> None:
        """Discard the latencies of the warm-up."""
        self.latencies.clear()
        self.descriptors_received = 0

    def _on_answer(self, message: Keypoints) -> None:
        stamp = message.header.stamp
        sent = stamp.sec * 10**9 + stamp.nanosec
        self.latencies.append(1e-9 * (time.monotonic_ns() - sent))

    def _on_descriptors(self, message: Descriptors) -> None:
        self.descriptors_received += 1


def warm_up(probe: LatencyProbe, message: Image) -> None:
    """
    Publish until keypoints and descriptors arrive.

    Prints a line before the first image, and one when the first keypoints arrive.
    Raises TimeoutError if they do not arrive.
    """
    print('publishing', flush=True)
    end = time.monotonic() + ANSWER_TIMEOUT
    has_answer = False
    while not (probe.latencies and probe.descriptors_received):
        if time.monotonic() > end:
            raise TimeoutError(f'no keypoints and descriptors within {ANSWER_TIMEOUT:g} s')
        probe.publish(message)
        probe.spin_until(time.monotonic() + 1 / WARM_UP_RATE)
        if probe.latencies and not has_answer:
            has_answer = True
            print('answered', flush=True)
    probe.spin_until(time.monotonic() + SETTLE_TIME)


def play(probe: LatencyProbe, messages: list[Image], rate: float, seconds: float) -> dict:
    """Publish images at a rate [Hz] for some seconds; return what was received."""
    count = round(rate * seconds)
    start = time.monotonic()
    for index in range(count):
        probe.spin_until(start + index / rate)
        probe.publish(messages[index % len(messages)])
    duration = time.monotonic() - start
    probe.spin_until(time.monotonic() + SETTLE_TIME)
    return {
        'published': count,
        'rate': (count - 1) / duration,
        'answers': len(probe.latencies),
        'descriptors': probe.descriptors_received,
        'latencies': probe.latencies,
    }


def main() -> int:
    """Warm up, wait for a line on stdin, play, and print what was received as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('recording', type=Path)
    parser.add_argument(
        '--rate', type=float, help='[Hz]; without it, only subscribe to the topics of ros_steps'
    )
    parser.add_argument(
        '--tracks', action='store_true', help='measure the latency of tracks, not keypoints'
    )
    parser.add_argument('--seconds', type=float, default=3.0)
    arguments = parser.parse_args()
    rclpy.init()
    node = rclpy.create_node('camera')
    try:
        return run(node, arguments)
    except (ExternalShutdownException, KeyboardInterrupt):
        return 0
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


def run(node: Node, arguments: argparse.Namespace) -> int:
    """Publish or only subscribe, as the arguments say; return the exit code."""
    if arguments.rate is None:
        for name, kind in {**TOPICS, 'keypoints': Keypoints, 'descriptors': Descriptors}.items():
            node.create_subscription(kind, name, lambda _: None, QOS)
        rclpy.spin(node)
        return 0
    images = read_recording(arguments.recording).images
    if arguments.tracks:  # the views of one photograph, back and forth
        images = images[[*range(len(VIEWS)), *range(len(VIEWS) - 2, 0, -1)]]
    probe = LatencyProbe(node, 'tracks' if arguments.tracks else 'keypoints')
    try:
        warm_up(probe, image_message(images[0]))
    except TimeoutError as error:
        print(error, file=sys.stderr)
        return 1
    print('ready', flush=True)
    sys.stdin.readline()
    probe.reset()
    messages = [image_message(image) for image in images]
    print(json.dumps(play(probe, messages, arguments.rate, arguments.seconds)), flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
