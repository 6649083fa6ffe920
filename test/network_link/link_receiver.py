"""
Subscribe to topics as an estimator does; count messages and measure their latency.

link_receiver.py NAME=TOPIC...: NAME is the message type. Prints a line when all topics have a
publisher. A line on stdin, the stamp of the first image that counts [ns], ends it: it prints the
latencies [s] and sizes [bytes] of the messages of each topic as JSON.
"""

from __future__ import annotations

import argparse
import json
import select
import struct
import sys
import time
from functools import partial

import rclpy

import superpoint_rknn.msg
from superpoint_rknn.nodes.common.executor import create_executor
from superpoint_rknn.nodes.common.qos import FEATURES


class Receiver:
    """Arrival time and size of each message, by topic and stamp."""

    def __init__(self, topics: dict[str, str]):
        node = rclpy.create_node('receiver')
        self._node = node
        self._received: dict[str, dict[int, tuple[int, int]]] = {topic: {} for topic in topics}
        self._executor = create_executor()
        self._executor.add_node(node)
        for topic, kind in topics.items():
            node.create_subscription(
                getattr(superpoint_rknn.msg, kind),
                topic,
                partial(self._on_message, topic),
                FEATURES,
                raw=True,
            )

    @property
    def is_connected(self) -> bool:
        """True if all topics have a publisher."""
        return all(self._node.count_publishers(topic) for topic in self._received)

    def spin(self) -> None:
        """Receive for 50 ms."""
        self._executor.spin_once(timeout_sec=0.05)

    def results(self, start: int) -> dict[str, dict[str, list]]:
        """Return latencies [s] and sizes [bytes] of the images since a stamp [ns]."""
        results = {}
        for topic, messages in self._received.items():
            counted = {stamp: message for stamp, message in messages.items() if stamp >= start}
            results[topic] = {
                'latencies': [1e-9 * (at - stamp) for stamp, (at, _) in counted.items()],
                'sizes': [size for _, size in counted.values()],
            }
        return results

    def _on_message(self, topic: str, data: bytes) -> None:
        # The stamp is at the start of the serialized message.
        sec, nanosec = struct.unpack_from('<iI', data, 4)
        arrival = time.monotonic_ns(), len(data)
        self._received[topic].setdefault(sec * 10**9 + nanosec, arrival)


def main() -> int:
    """Run from the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('topics', nargs='+')
    arguments = parser.parse_args()
    rclpy.init()
    receiver = Receiver(dict(reversed(text.split('=')) for text in arguments.topics))
    while not receiver.is_connected:
        receiver.spin()
    print('ready', flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        receiver.spin()
    print(json.dumps(receiver.results(int(sys.stdin.readline()))), flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
