"""Both nodes and a camera that attacks them, in a real graph."""

import time

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_graph import image_message
from sensor_msgs.msg import Image

from superpoint_rknn.msg import Keypoints
from superpoint_rknn.nodes.common.diagnostics import counts_of

CAMERA = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
PERIOD = 0.033  # [s] of the images
IMAGE = np.random.default_rng(0).integers(0, 256, (50, 80), np.uint8).repeat(8, 0).repeat(8, 1)


def stamp_of(message):
    return message.header.stamp.sec, message.header.stamp.nanosec


class Attack:
    """Both nodes, and a camera that sends what the attack wants; `nodes`: their processes."""

    def __init__(self, graph, **nodes):
        self.graph = graph
        self.nodes = nodes
        self.camera = graph.node.create_publisher(Image, 'image', CAMERA)
        self.keypoints = graph.collect(Keypoints, 'keypoints')
        self.tracks = graph.collect(Keypoints, 'tracks')
        self.diagnostics = graph.collect(DiagnosticArray, '/diagnostics')
        self.recover()

    def send(self, message=None, stamp=None):
        """Publish an image, by default a valid one with the present time as its stamp."""
        message = image_message(IMAGE) if message is None else message
        time_ns = divmod(time.time_ns(), 10**9)
        message.header.stamp.sec, message.header.stamp.nanosec = stamp or time_ns
        self.camera.publish(message)
        self.graph.spin(lambda: False, PERIOD)
        return message

    def play(self, seconds, message=lambda number: None, stamp=lambda number: None):
        """Publish images; the functions return the message and the stamp of each."""
        end, number = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            self.send(message(number), stamp(number))
            number += 1

    def recover(self):
        """Publish valid images until both nodes publish the results of one; count all images."""
        sent = set()

        def recovered():
            sent.add(stamp_of(self.send()))
            results = (self.keypoints, self.tracks)
            return all(sent & {stamp_of(m) for m in messages[-9:]} for messages in results)

        self.graph.wait(recovered, 'keypoints and tracks')
        assert all(process.poll() is None for process in self.nodes.values())
        self.diagnostics.clear()
        self.graph.wait(lambda: len({s.name for s in self.statuses()}) == 2, 'diagnostics')
        for status in self.statuses():
            counts = counts_of(status)
            assert counts['received'] == sum(counts[k] for k in ('published', 'dropped', 'failed'))

    def statuses(self):
        return [s for m in self.diagnostics for s in m.status if s.name.endswith(': camera')]

    def has_reported(self, text):
        """Whether one of the nodes has reported a text on /diagnostics."""
        return any(text in status.message for status in self.statuses())

    def logs(self):
        texts = {name: process.log.read_text() for name, process in self.nodes.items()}
        assert not any('Traceback' in text for text in texts.values())
        return texts
