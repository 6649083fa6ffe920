"""
The camera of bench.ros_camera in any namespace; it can publish JPEG images instead of raw ones.

Prints the lines of that camera and, in the end, {rate, images, published} as JSON: how many
messages the nodes published, by topic, as their /diagnostics say.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from superpoint_rknn.bench.recordings import VIEWS, read_recording
from superpoint_rknn.bench.ros_camera import QOS, LatencyProbe, play, warm_up
from superpoint_rknn.bench.ros_steps import image_message
from superpoint_rknn.nodes.common.diagnostics import counts_of

JPEG_QUALITY = 80
SETTLE_TIME = 1.5  # [s] until /diagnostics, published once a second, has the newest counts
COUNTERS = {  # topic: node and its counter
    'keypoints': ('superpoint', 'published'),
    'descriptors': ('superpoint', 'descriptors'),
    'descriptors_raw': ('superpoint', 'descriptors'),
    'tracks': ('tracker', 'published'),
}


class Probe(LatencyProbe):
    """
    A LatencyProbe that also keeps the counters of the nodes.

    has_jpeg: publish on `image/compressed` instead of `image`.
    """

    def __init__(self, node: Node, has_jpeg: bool):
        super().__init__(node, 'keypoints')
        self._has_jpeg = has_jpeg
        self._prefix = node.get_namespace().rstrip('/') + '/'
        self._counters: dict[str, dict[str, int]] = {}  # of each node
        if has_jpeg:
            self._camera = node.create_publisher(CompressedImage, 'image/compressed', QOS)
        node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, QOS)

    def publish(self, message: Image) -> None:
        """Publish an image with the current time as its timestamp."""
        if not self._has_jpeg:
            super().publish(message)
            return
        image = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width)
        _, jpeg = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        super().publish(CompressedImage(format='jpeg', data=jpeg.tobytes()))

    def published(self) -> dict[str, int]:
        """Wait for the nodes' counters; return how many messages they have published."""
        self.spin_until(time.monotonic() + SETTLE_TIME)
        return {
            topic: self._counters.get(node, {}).get(counter, 0)
            for topic, (node, counter) in COUNTERS.items()
        }

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            name, _, camera = status.name.partition(': ')
            if camera == 'camera' and name.startswith(self._prefix):
                self._counters[name.removeprefix(self._prefix)] = counts_of(status)


def main() -> int:
    """Warm up, wait for a line on stdin, play, print what was published as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('recording', type=Path)
    parser.add_argument('--rate', type=float, required=True, help='[Hz]')
    parser.add_argument('--seconds', type=float, required=True)
    parser.add_argument('--namespace', default='')
    parser.add_argument('--jpeg', action='store_true')
    arguments = parser.parse_args()
    rclpy.init()
    probe = Probe(rclpy.create_node('camera', namespace=arguments.namespace), arguments.jpeg)
    # The views of one photograph, back and forth.
    images = read_recording(arguments.recording).images
    images = images[[*range(len(VIEWS)), *range(len(VIEWS) - 2, 0, -1)]]
    messages = [image_message(image) for image in images]
    try:
        warm_up(probe, messages[0])
    except TimeoutError as error:
        print(error, file=sys.stderr)
        return 1
    print('ready', flush=True)
    sys.stdin.readline()
    before = probe.published()
    played = play(probe, messages, arguments.rate, arguments.seconds)
    published = {topic: count - before[topic] for topic, count in probe.published().items()}
    result = {'rate': played['rate'], 'images': played['published'], 'published': published}
    print(json.dumps(result), flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
