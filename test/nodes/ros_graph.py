"""A real ROS graph: the node under test in a process of its own, the test beside it."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from processes import PROFILES, free_domain
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from superpoint_rknn.msg import Descriptors, Keypoints

RELIABLE = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)


class Graph:
    """The test's own node, and the processes that it started."""

    def __init__(self, log_dir):
        self.domain = free_domain()
        self.context = rclpy.Context()
        os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
        # images of a megabyte aren't lost
        os.environ.setdefault('FASTDDS_DEFAULT_PROFILES_FILE', str(PROFILES))
        rclpy.init(context=self.context, domain_id=self.domain)
        self.node = rclpy.create_node('test', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.processes = []
        self.log_dir = log_dir

    def start(self, *program, env=None, **parameters):
        """Start a node as a process, the superpoint node by default; it writes `process.log`."""
        program = program or ('-m', 'superpoint_rknn.nodes.superpoint.node')
        log = self.log_dir / f'{len(self.processes)}.log'
        given = [f'-p{name}:={value}' for name, value in parameters.items()]
        given = [text for item in given for text in (item[:2], item[2:])]
        with log.open('w') as output:
            process = subprocess.Popen(
                [sys.executable, *program, '--ros-args', *given],
                env=os.environ | {'ROS_DOMAIN_ID': str(self.domain)} | (env or {}),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        process.log = log
        self.processes.append(process)
        return process

    def collect(self, kind, topic, qos=RELIABLE):
        """List that fills with the messages of a topic."""
        messages = []
        self.node.create_subscription(kind, topic, messages.append, qos)
        return messages

    def wait(self, condition, what, timeout=30.0):
        """Spin until `condition()`; fails naming `what` was waited for."""
        if not self.spin(condition, timeout):
            logs = '\n'.join(p.log.read_text() for p in self.processes)
            pytest.fail(f'waited {timeout} s in vain for {what}; output of the nodes:\n{logs}')

    def spin(self, condition, timeout):
        """Spin until `condition()` or for `timeout` [s]; returns whether it came true."""
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                return False
            self.executor.spin_once(timeout_sec=0.02)
        return True

    def call(self, kind, name, request, timeout=30.0):
        """Response of a service."""
        client = self.node.create_client(kind, name)
        self.wait(client.service_is_ready, f'the service {name}', timeout)
        future = client.call_async(request)
        self.wait(future.done, f'the answer of {name}', timeout)
        self.node.destroy_client(client)
        return future.result()

    def interrupt(self, process, timeout=10.0):
        """Ctrl-C; returns the exit code and how long it took [s]."""
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        while process.poll() is None and time.monotonic() < start + timeout:
            self.executor.spin_once(timeout_sec=0.01)
        return process.poll(), time.monotonic() - start

    def close(self):
        for process in self.processes:
            process.send_signal(signal.SIGINT)  # a killed one leaves its shared memory behind
        for process in self.processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


def image_message(image):
    """Message of a grey image, (height, width) uint8, as mono8."""
    height, width = image.shape
    message = Image(height=height, width=width, encoding='mono8', step=width)
    message.data.frombytes(image.tobytes())
    return message


class Rig:
    """
    A graph with a camera on `image` and ears on all that the superpoint node publishes.

    name: of one of several cameras, whose topics are below it.
    """

    def __init__(self, graph, descriptors=True, name=''):
        self.graph = graph
        self.name = name
        prefix = f'{name}/' if name else ''
        self.camera = graph.node.create_publisher(Image, f'{prefix}image', RELIABLE)
        self.keypoints = self._collect(Keypoints, f'{prefix}keypoints')
        self.descriptors = (
            self._collect(Descriptors, f'{prefix}descriptors') if descriptors else []
        )
        self.diagnostics = graph.collect(DiagnosticArray, '/diagnostics')
        self.sent = 0
        self.base = {}

    def _collect(self, kind, topic):
        """List of a topic's messages but those of the warm-up, which have the second 0."""
        messages = []

        def collect(message):
            self.warm = True
            if message.header.stamp.sec:
                messages.append(message)

        self.graph.node.create_subscription(kind, topic, collect, RELIABLE)
        return messages

    def start(self, *program, env=None, **parameters):
        process = self.graph.start(*program, env=env, **parameters)
        self.wait_ready()
        return process

    def wait_ready(self):
        """
        Warm up: wait until images reach the node and keypoints come back.

        Both ends of a topic learn of each other at different times, so a count of subscriptions
        does not tell; only a message that arrives does. What the warm-up added to the counts is
        left out of them from then on.
        """
        self.graph.wait(lambda: self.camera.get_subscription_count(), 'the node to take images')
        self.warm = False
        black = np.zeros((400, 640), np.uint8)
        for _ in range(30):
            self.camera.publish(image_message(black))
            if self.graph.spin(lambda: self.warm, 2.0):
                break
        self.graph.wait(lambda: self.warm, 'keypoints of the first images', 0)
        self.diagnostics.clear()
        self.graph.wait(
            lambda: len(self.diagnostics) >= 2 and self.raw_counts()['pending'] == '0',
            'diagnostics without pending images',
        )
        self.base = {k: int(v) for k, v in self.raw_counts().items() if v.isdigit()}

    def send(self, image, **fields):
        """Publish a mono8 image with a new stamp; returns the message."""
        self.sent += 1
        message = image_message(image)
        message.header.stamp.sec = self.sent
        message.header.frame_id = 'camera_optical'
        for name, value in fields.items():
            setattr(message, name, value)
        self.camera.publish(message)
        return message

    def send_and_wait(self, image, **fields):
        """Publish an image; returns the image's and the keypoints' message."""
        before = len(self.keypoints)
        message = self.send(image, **fields)
        self.graph.wait(lambda: len(self.keypoints) > before, 'keypoints')
        return message, self.keypoints[-1]

    def raw_counts(self):
        """Values of the newest diagnostics."""
        title = f': {self.name or "camera"}'
        (status,) = (s for s in self.diagnostics[-1].status if s.name.endswith(title))
        return {v.key: v.value for v in status.values}

    def counts(self):
        """Values of the newest diagnostics, counts without the warm-up's."""
        return {
            k: int(v) - self.base.get(k, 0) if v.isdigit() else v
            for k, v in self.raw_counts().items()
        }

    def wait_counts(self, **expected):
        """Wait for diagnostics with these counts."""

        def arrived():
            return self.diagnostics and all(
                self.counts().get(key) == value for key, value in expected.items()
            )

        self.graph.wait(arrived, f'diagnostics with {expected}')
        return self.counts()
