"""A camera at a steady rate that listens to what becomes of its images; or only an ear."""

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
PATIENCE = 20.0  # [s] for the node to answer
SETTLE = 1.0  # [s] for the last descriptors to come


class Ear:
    """
    Publishes images, and hears the answers.

    answers: topic of an image's keypoints or tracks.
    """

    def __init__(self, node: Node, answers: str):
        self.latencies: list[float] = []  # publication of an image to arrival of its answer [s]
        self.described = 0
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)
        self._camera = node.create_publisher(Image, 'image', QOS)
        node.create_subscription(Keypoints, answers, self._on_answer, QOS)
        node.create_subscription(Descriptors, 'descriptors', self._on_descriptors, QOS)

    def publish(self, message: Image) -> None:
        """Send an image with the stamp of the moment."""
        stamp = time.monotonic_ns()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
        self._camera.publish(message)

    def listen(self, until: float) -> None:
        """Take what arrives until a moment of the monotonic clock [s]."""
        while (left := until - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def forget(self) -> None:
        """Begin anew: warmed up."""
        self.latencies.clear()
        self.described = 0

    def _on_answer(self, message: Keypoints) -> None:
        stamp = message.header.stamp
        sent = stamp.sec * 10**9 + stamp.nanosec
        self.latencies.append(1e-9 * (time.monotonic_ns() - sent))

    def _on_descriptors(self, message: Descriptors) -> None:
        self.described += 1


def warm_up(ear: Ear, message: Image) -> None:
    """Return once keypoints and descriptors come back. Raises TimeoutError if they don't."""
    end = time.monotonic() + PATIENCE
    while not (ear.latencies and ear.described):
        if time.monotonic() > end:
            raise TimeoutError(f'the node gave no features within {PATIENCE:g} s')
        ear.publish(message)
        ear.listen(time.monotonic() + 0.1)
    ear.listen(time.monotonic() + SETTLE)


def play(ear: Ear, messages: list[Image], rate: float, seconds: float) -> dict:
    """Publish images at a rate [Hz], each on time; returns what came back."""
    count = round(rate * seconds)
    start = time.monotonic()
    for index in range(count):
        ear.listen(start + index / rate)
        ear.publish(messages[index % len(messages)])
    lasted = time.monotonic() - start
    ear.listen(time.monotonic() + SETTLE)
    return {
        'published': count,
        'rate': (count - 1) / lasted,
        'answers': len(ear.latencies),
        'descriptors': ear.described,
        'latencies': ear.latencies,
    }


def main() -> int:
    """Play when told to by a line on stdin, print what came back as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('recording', type=Path)
    parser.add_argument('--rate', type=float, help='[Hz]; without it, only subscribe to the bench')
    parser.add_argument('--tracks', action='store_true', help='of a steady camera are awaited')
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
    """Do what the command line asks for; returns the exit code."""
    if arguments.rate is None:
        for name, kind in {**TOPICS, 'keypoints': Keypoints, 'descriptors': Descriptors}.items():
            node.create_subscription(kind, name, lambda _: None, QOS)
        rclpy.spin(node)
        return 0
    images = read_recording(arguments.recording).images
    if arguments.tracks:  # back and forth over one photograph
        images = images[[*range(len(VIEWS)), *range(len(VIEWS) - 2, 0, -1)]]
    ear = Ear(node, 'tracks' if arguments.tracks else 'keypoints')
    try:
        warm_up(ear, image_message(images[0]))
    except TimeoutError as error:
        print(error, file=sys.stderr)
        return 1
    print('ready', flush=True)
    sys.stdin.readline()
    ear.forget()
    messages = [image_message(image) for image in images]
    print(json.dumps(play(ear, messages, arguments.rate, arguments.seconds)), flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
