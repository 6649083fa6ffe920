"""
Record images, keypoints and descriptors in a bag.

Protocol with the demo, in lines: prints 'ready' when all topics are connected, reads the number of
published images from stdin, and prints the node's last diagnostics when everything is received.
"""

from __future__ import annotations

import argparse
import json
import select
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

import rclpy
from bag import TYPES, BagWriter
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image

from superpoint_rknn.msg import Descriptors, Keypoints

KINDS = {'image': Image, 'keypoints': Keypoints, 'descriptors': Descriptors}
# Ten seconds of images, so that none is lost while this process waits for disk or processor.
QOS = QoSProfile(depth=300, reliability=ReliabilityPolicy.RELIABLE)
COUNTS = ('received', 'published', 'dropped', 'failed', 'descriptors')
CAMERA, STATE = '/superpoint: camera', '/superpoint: state'  # in the node's diagnostics
MISSING_TIMEOUT = 5.0  # [s] after which missing images count as lost
FINISH_TIMEOUT = 30.0  # [s]


class NotActiveError(RuntimeError):
    """The node is running but could not start."""


class Recorder(Node):
    """Write messages to the bag and keep the node's diagnostics."""

    def __init__(self, writer: BagWriter):
        super().__init__('recorder')
        self.arrived: Counter[str] = Counter()
        self.reports: list[dict[str, str]] = []
        self._writer = writer
        self._features = [self._record(topic) for topic in TYPES][1:]
        self._failure = ''  # reason why the node is not active
        # The last subscription: discovery is in order, so a node that has discovered this one has
        # discovered all.
        self.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, QOS)

    def _record(self, topic: str):
        callback = partial(self._on_message, topic)
        return self.create_subscription(KINDS[topic], topic, callback, QOS, raw=True)

    def _on_message(self, topic: str, data: bytes) -> None:
        self._writer.write(self._writer.of_topic[topic], time.time_ns(), data)
        self.arrived[topic] += 1

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == CAMERA:
                self.reports.append({value.key: value.value for value in status.values})
            elif status.name == STATE and status.level == DiagnosticStatus.ERROR:
                self._failure = status.message

    def is_ready(self) -> bool:
        """
        True if the node is active and its messages arrive here.

        Raises NotActiveError with the reason if it can't start.
        """
        if self._failure:
            raise NotActiveError(self._failure)
        return bool(self.reports) and all(s.get_publisher_count() for s in self._features)

    def is_finished(self, images_published: int, waited: float) -> bool:
        """True if the node has processed all images and all its messages are received."""
        before, now = ({key: int(r[key]) for key in COUNTS} for r in self.reports[-2:])
        return (
            before == now
            and (now['received'] == images_published or waited > MISSING_TIMEOUT)
            and self.arrived['image'] == images_published
            and self.arrived['keypoints'] == now['published']
            and self.arrived['descriptors'] == now['descriptors']
        )


def record(recorder: Recorder, executor: SingleThreadedExecutor) -> dict[str, str]:
    """Record until stdin says how many images were published; returns the last diagnostics."""
    while not recorder.is_ready():
        executor.spin_once(timeout_sec=0.1)
    print('ready', flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        executor.spin_once(timeout_sec=0.1)
    line = sys.stdin.readline()
    if not line:
        raise EOFError('stdin was closed: the demo has ended')
    images_published = int(line)
    recorder.reports = recorder.reports[-1:]
    start = time.monotonic()
    while (waited := time.monotonic() - start) < FINISH_TIMEOUT:
        executor.spin_once(timeout_sec=0.1)
        if len(recorder.reports) > 1 and recorder.is_finished(images_published, waited):
            break
    return recorder.reports[-1]


def main() -> int:
    """Record until the run ends or the process is interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('bag', type=Path, help='the bag to write')
    arguments = parser.parse_args()
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    executor = SingleThreadedExecutor()
    try:
        with BagWriter(arguments.bag) as writer:
            recorder = Recorder(writer)
            executor.add_node(recorder)
            report = record(recorder, executor)
            recorder.destroy_node()
        print(json.dumps(report), flush=True)
    except (EOFError, NotActiveError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    finally:
        executor.shutdown()
        rclpy.shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
