"""
Publish images, and report what became of them: a process of soak.py.

Prints a line of JSON every second, {sent, seconds}, and in the end {sent, seconds, counts}: how
many images were published, and by how much the counters of both nodes have changed meanwhile.
Counting begins and ends with an image that both nodes have answered: then the numbers of the
messages show every lost image.
A line on stdin ends the run.
"""

from __future__ import annotations

import argparse
import json
import select
import struct
import sys
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from soak_report import NODES

from superpoint_rknn.bench.recordings import read_recording
from superpoint_rknn.bench.ros_steps import image_message
from superpoint_rknn.msg import Keypoints
from superpoint_rknn.nodes.common.diagnostics import counts_of
from superpoint_rknn.nodes.common.executor import create_executor

QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
WINDOW = 4  # images without tracks that are under way at most
PATIENCE = 0.5  # [s] after which an image without tracks is no longer waited for
ANSWER_TIMEOUT = 2.0  # [s] for the answers of both nodes to one image
ANSWER_ATTEMPTS = 30  # images of which one has to be answered
CONNECTION_TIMEOUT = 60.0  # [s] until both nodes subscribe
COUNTS_TIMEOUT = 30.0  # [s] until the counters no longer change
REPORT_PERIOD = 1.0  # [s]


class Camera:
    """
    Publishes images and receives keypoints, tracks and diagnostics.

    messages: published in turn.
    """

    def __init__(self, node: Node, messages: list[Image]):
        self.sent = 0
        self._messages = messages
        self._last_stamp = 0  # [ns]
        self._stamps = {'keypoints': 0, 'tracks': 0}  # of the newest answers [ns]
        self._waiting: deque[int] = deque()  # stamps of images without tracks [ns]
        self._statuses: dict[str, list[tuple[int, dict[str, int]]]] = {name: [] for name in NODES}
        self._executor = create_executor()
        self._executor.add_node(node)
        self._publisher = node.create_publisher(Image, 'image', QOS)
        for topic in self._stamps:
            node.create_subscription(
                Keypoints,
                topic,
                partial(self._on_answer, topic),
                QOS,
                raw=True,
            )
        node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, QOS)

    @property
    def is_connected(self) -> bool:
        """True if both nodes subscribe to the images."""
        return self._publisher.get_subscription_count() >= len(NODES)

    def publish(self) -> int:
        """Publish the next image; return its stamp, the current time [ns]."""
        message = self._messages[self.sent % len(self._messages)]
        stamp = max(time.time_ns(), self._last_stamp + 1)
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
        self._publisher.publish(message)
        self.sent += 1
        self._last_stamp = stamp
        self._waiting.append(stamp)
        return stamp

    def spin(self, timeout: float) -> None:
        """Run one callback, or wait [s]."""
        self._executor.spin_once(timeout_sec=timeout)

    def spin_until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Run callbacks until a condition is true, at most `timeout` [s]; return whether it is."""
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                return False
            self.spin(0.02)
        return True

    def publish_when_answered(self) -> None:
        """Publish an image as soon as fewer than WINDOW images are under way."""
        while len(self._waiting) >= WINDOW:
            left = self._waiting[0] * 1e-9 + PATIENCE - time.time()
            if left <= 0:
                self._waiting.popleft()
            else:
                self.spin(left)
        self.publish()

    def settle(self) -> dict[str, dict[str, int]]:
        """
        Publish single images until both nodes have answered one; return the nodes' counters.

        Raises TimeoutError if no image is answered, or if the counters do not come to rest.
        """
        for _ in range(ANSWER_ATTEMPTS):
            stamp = self.publish()
            if self.spin_until(
                lambda stamp=stamp: all(s == stamp for s in self._stamps.values()), ANSWER_TIMEOUT
            ):
                break
        else:
            raise TimeoutError('no image was answered with keypoints and tracks')
        answered = time.time_ns()

        def are_at_rest() -> bool:
            return all(
                len(newest) == 2 and newest[0][0] > answered and newest[0][1] == newest[1][1]
                for newest in self._statuses.values()
            )

        if not self.spin_until(are_at_rest, COUNTS_TIMEOUT):
            raise TimeoutError(f'the counters do not come to rest: {self._statuses}')
        return {name: newest[-1][1] for name, newest in self._statuses.items()}

    def _on_answer(self, topic: str, data: bytes) -> None:
        # The stamp is at the start of the serialized message.
        sec, nanosec = struct.unpack_from('<iI', data, 4)
        self._stamps[topic] = stamp = sec * 10**9 + nanosec
        if topic == 'tracks':
            while self._waiting and self._waiting[0] <= stamp:
                self._waiting.popleft()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        for status in message.status:
            name, _, camera = status.name.removeprefix('/').partition(': ')
            if camera == 'camera' and name in self._statuses:
                self._statuses[name] = [*self._statuses[name][-1:], (stamp, counts_of(status))]


def play(camera: Camera, arguments: argparse.Namespace) -> None:
    """Publish images until the time or number of images is reached, or until a line on stdin."""
    start = time.monotonic()
    first = camera.sent
    end, last = start + arguments.seconds, first + arguments.images
    next_report = start
    while (now := time.monotonic()) < end and camera.sent < last:
        if now >= next_report:
            if select.select([sys.stdin], [], [], 0)[0]:
                return
            next_report = now + REPORT_PERIOD
            print(json.dumps({'sent': camera.sent - first, 'seconds': now - start}), flush=True)
        if arguments.rate:
            due = start + (camera.sent - first) / arguments.rate
            while (left := due - time.monotonic()) > 0:
                camera.spin(left)
            camera.publish()
        else:
            camera.publish_when_answered()


def main() -> int:
    """Wait for both nodes, play, print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('recording', type=Path)
    parser.add_argument('--seconds', type=float, required=True)
    parser.add_argument('--images', type=int, required=True)
    parser.add_argument('--rate', type=float, help='[Hz]; without it, as fast as tracks arrive')
    arguments = parser.parse_args()
    rclpy.init()
    node = rclpy.create_node('soak_camera')
    # The views of a photograph, back and forth.
    images = read_recording(arguments.recording).images
    camera = Camera(node, [image_message(image) for image in (*images, *images[-2:0:-1])])
    try:
        camera.spin_until(lambda: camera.is_connected, CONNECTION_TIMEOUT)
        before = camera.settle()
        sent, start = camera.sent, time.monotonic()
        play(camera, arguments)
        seconds = time.monotonic() - start
        after = camera.settle()
    except TimeoutError as error:
        print(error, file=sys.stderr)
        return 1
    counts = {
        name: {key: after[name][key] - before[name].get(key, 0) for key in after[name]}
        for name in NODES
    }
    print(
        json.dumps({'sent': camera.sent - sent, 'seconds': seconds, 'counts': counts}), flush=True
    )
    return 0


if __name__ == '__main__':
    sys.exit(main())
