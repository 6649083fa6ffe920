"""
Record images, keypoints, descriptors and tracks in a bag.

Protocol with the demo, in lines: prints 'ready' when all topics are connected, reads the number of
published images from stdin, and prints the last diagnostics of both nodes, as JSON by the name of
the node, when everything is received.
"""

from __future__ import annotations

import argparse
import json
import select
import sys
import time
from collections import Counter, deque
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

KINDS = {
    'image': Image,
    'keypoints': Keypoints,
    'descriptors': Descriptors,
    'tracks': Keypoints,
}
# Ten seconds of images, so that none is lost while this process waits for disk or processor.
QOS = QoSProfile(depth=300, reliability=ReliabilityPolicy.RELIABLE)
COUNTS = ('received', 'published', 'dropped', 'failed', 'descriptors')
NODES = ('superpoint', 'tracker')
MISSING_TIMEOUT = 5.0  # [s] after which missing images count as lost
FINISH_TIMEOUT = 30.0  # [s]


Report = dict[str, str]  # values of the diagnostics of a node


class NotActiveError(RuntimeError):
    """A node is running but could not start."""


class Recorder(Node):
    """Write messages to the bag and keep the last two reports of each node."""

    def __init__(self, writer: BagWriter):
        super().__init__('recorder')
        self.arrived: Counter[str] = Counter()
        self.reports: dict[str, deque[Report]] = {name: deque(maxlen=2) for name in NODES}
        self._writer = writer
        self._results = [self._record(topic) for topic in TYPES][1:]
        self._failure = ''  # reason why a node is not active
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
            node, _, title = status.name.strip('/').partition(': ')
            if node in NODES and title == 'camera':
                self.reports[node].append({value.key: value.value for value in status.values})
            elif node in NODES and title == 'state' and status.level == DiagnosticStatus.ERROR:
                self._failure = status.message

    def is_ready(self) -> bool:
        """
        True if both nodes are active and their messages arrive here.

        Raises NotActiveError with the reason if one can't start.
        """
        if self._failure:
            raise NotActiveError(self._failure)
        return all(self.reports.values()) and all(s.get_publisher_count() for s in self._results)

    def is_finished(self, images_published: int, waited: float) -> bool:
        """True if the nodes have processed all images and all their messages are received."""
        if not all(len(reports) == 2 for reports in self.reports.values()):
            return False
        counts = {
            name: [{key: int(report[key]) for key in COUNTS} for report in reports]
            for name, reports in self.reports.items()
        }
        superpoint, tracker = (counts[name][-1] for name in NODES)
        return (
            all(before == now for before, now in counts.values())
            and (
                superpoint['received'] == tracker['received'] == images_published
                or waited > MISSING_TIMEOUT
            )
            and self.arrived['image'] == images_published
            and self.arrived['keypoints'] == superpoint['published']
            and self.arrived['descriptors'] == superpoint['descriptors']
            and self.arrived['tracks'] == tracker['published']
        )


def record(recorder: Recorder, executor: SingleThreadedExecutor) -> dict[str, Report]:
    """Record until stdin says how many images were published; return the last reports by node."""
    while not recorder.is_ready():
        executor.spin_once(timeout_sec=0.1)
    print('ready', flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        executor.spin_once(timeout_sec=0.1)
    line = sys.stdin.readline()
    if not line:
        raise EOFError('stdin was closed: the demo has ended')
    images_published = int(line)
    start = time.monotonic()
    while (waited := time.monotonic() - start) < FINISH_TIMEOUT:
        executor.spin_once(timeout_sec=0.1)
        if recorder.is_finished(images_published, waited):
            break
    return {name: reports[-1] for name, reports in recorder.reports.items()}


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
            reports = record(recorder, executor)
            recorder.destroy_node()
        print(json.dumps(reports), flush=True)
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
