"""
Play a bag into the graph of `./dev vio`, each image after the tracks of the one before.

Prints lines: 'ready' when the graph is complete, the share of the messages that was played, and
at the end what the graph has published, as JSON. Writes the odometry as TRAJECTORY in TUM's
format: time [s], position [m], quaternion x y z w.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from nav_msgs.msg import Odometry
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import PointCloud

from superpoint_rknn.files import write_atomically
from superpoint_rknn.nodes.common.messages import nanoseconds
from superpoint_rknn.replay.command import Player
from superpoint_rknn.sources.bag import Images

QOS = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
FEATURE, ODOMETRY = '/cam0/feature', '/odometry'
NODES = ('superpoint', 'tracker')  # whose diagnostics are reported
START_TIMEOUT = 120.0  # [s] to load a model on a busy machine
ESTIMATOR_TIMEOUT = 30.0  # [s] without odometry after the last image
DIAGNOSTICS_TIMEOUT = 5.0  # [s] for diagnostics that count the last image


class Recorder:
    """Count features, record odometry and keep the newest diagnostics of each node."""

    def __init__(self, node: Node):
        self._node = node
        self.features: list[int] = []  # stamps [ns]
        self.odometry: list[str] = []  # lines
        self.newest_odometry = -1  # stamp [ns]
        self.statuses: dict[str, dict[str, str]] = {}  # values of the diagnostics by node
        self._active: set[str] = set()  # nodes
        self._failure = ''  # reason why a node can't start
        node.create_subscription(PointCloud, FEATURE, self._on_feature, QOS)
        node.create_subscription(Odometry, ODOMETRY, self._on_odometry, QOS)
        node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, QOS)

    def is_ready(self, player: Player) -> bool:
        """
        Whether the nodes of the front end are active and the estimator gets features and IMU.

        Raises RuntimeError with the reason if a node of the front end can't start.
        """
        if self._failure:
            raise RuntimeError(self._failure)
        return (
            len(self._active) == len(NODES)
            and self._node.count_subscribers(FEATURE) > 1
            and all(publisher.get_subscription_count() for publisher in player.publishers.values())
        )

    def is_finished(self) -> bool:
        """Whether the odometry of the last features has arrived."""
        return bool(self.features) and self.newest_odometry == self.features[-1]

    def have_received(self, images: int) -> bool:
        """Whether the diagnostics of both nodes count so many images."""
        return len(self.statuses) == len(NODES) and all(
            int(values['received']) >= images for values in self.statuses.values()
        )

    def _on_feature(self, message: PointCloud) -> None:
        self.features.append(nanoseconds(message.header.stamp))

    def _on_odometry(self, message: Odometry) -> None:
        stamp = self.newest_odometry = nanoseconds(message.header.stamp)
        place, turn = message.pose.pose.position, message.pose.pose.orientation
        values = place.x, place.y, place.z, turn.x, turn.y, turn.z, turn.w
        seconds = f'{stamp // 10**9}.{stamp % 10**9:09}'
        self.odometry.append(' '.join([seconds, *(f'{value:.9f}' for value in values)]))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            for name in NODES:
                if status.name == f'/cam0/{name}: camera':
                    self.statuses[name] = {value.key: value.value for value in status.values}
                elif status.name == f'/cam0/{name}: state':
                    if status.message == 'active':
                        self._active.add(name)
                    elif status.level == DiagnosticStatus.ERROR:
                        self._failure = status.message


def with_percentages(messages: Iterable[Any], total: int) -> Iterator[Any]:
    """Yield the messages; print how many percent of them were taken."""
    printed = 0
    for number, message in enumerate(messages):
        yield message
        percent = 100 * (number + 1) // total
        if percent > printed:
            printed = percent
            print(percent, flush=True)


def spin_until(node: Node, condition: Callable[[], bool], timeout: float) -> bool:
    """Spin until the condition is true, at most `timeout` [s]; return whether it is."""
    end = time.monotonic() + timeout
    while not condition() and time.monotonic() < end:
        rclpy.spin_once(node, timeout_sec=0.1)
    return condition()


def play(node: Node, bag: Path) -> Recorder:
    """Play the bag; return what was recorded. Raises TimeoutError, RuntimeError or ValueError."""
    recorder, images = Recorder(node), Images(bag)
    player = Player(node, images, ['tracks'])
    if not spin_until(node, lambda: recorder.is_ready(player), START_TIMEOUT):
        raise TimeoutError(f'front end or estimator did not start within {START_TIMEOUT:g} s')
    print('ready', flush=True)
    count = player.play(lambda messages: with_percentages(messages, images.total))
    arrived = -1
    while arrived < len(recorder.odometry) and not recorder.is_finished():
        arrived = len(recorder.odometry)
        spin_until(node, lambda: len(recorder.odometry) > arrived, ESTIMATOR_TIMEOUT)  # noqa: B023
    spin_until(node, lambda: recorder.have_received(count), DIAGNOSTICS_TIMEOUT)
    return recorder


def main() -> int:
    """Play until the end or an interruption; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('bag', type=Path)
    parser.add_argument('trajectory', type=Path)
    arguments = parser.parse_args()
    rclpy.init(args=[])
    node = rclpy.create_node('player')
    try:
        recorder = play(node, arguments.bag)
        lines = ''.join(f'{line}\n' for line in recorder.odometry)
        write_atomically(arguments.trajectory, lines.encode())
        report = {
            'features': len(recorder.features),
            'odometry': len(recorder.odometry),
            **recorder.statuses,
        }
        print(json.dumps(report), flush=True)
    except (OSError, RuntimeError, ValueError) as error:  # TimeoutError is an OSError
        print(error, file=sys.stderr)
        return 1
    except (KeyboardInterrupt, ExternalShutdownException):
        return 130
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
