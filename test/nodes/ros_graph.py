"""A real ROS graph of the test's node and of the nodes under test, each in a process."""

import os
import signal
import sys
import time

import numpy as np
import pytest
import rclpy
from core_time import Stopwatch
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from superpoint_rknn.msg import Descriptors, Keypoints
from superpoint_rknn.nodes.common.diagnostics import counts_of
from superpoint_rknn.processes import ProcessGroup, graph_variables

TIMEOUT = 120.0  # [s] after which a test gives up; a loaded machine takes a while
RELIABLE = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)


class Graph:
    """The test's node and the processes that the test starts."""

    def __init__(self, log_dir):
        self.group = ProcessGroup(log_dir)
        self.context = rclpy.Context()
        os.environ.update(graph_variables(self.group.domain))  # for this process, too
        rclpy.init(context=self.context, domain_id=self.group.domain)
        self.node = rclpy.create_node('test', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

    def start(self, *program, env=None, **parameters):
        """Start a node, by default superpoint, as a process; `process.log` is its output."""
        program = program or ('-m', 'superpoint_rknn.nodes.superpoint.node')
        values = [f'{name}:={value}' for name, value in parameters.items()]
        values = [text for value in values for text in ('-p', value)]
        return self.start_program(sys.executable, *program, '--ros-args', *values, env=env)

    def start_program(self, *command, env=None):
        """Start a program as a process in this graph; `process.log` is its output."""
        name = str(len(self.group.processes))
        return self.group.start(name, *command, variables=env)

    def collect(self, kind, topic, qos=RELIABLE):
        """Return a list to which the messages of a topic are appended."""
        messages = []
        self.node.create_subscription(kind, topic, messages.append, qos)
        return messages

    def wait(self, condition, what, timeout=TIMEOUT):
        """Spin until `condition()` is true; after `timeout` [s], fail with `what` and the logs."""
        if not self.spin(condition, timeout):
            logs = '\n'.join(p.log.read_text() for p in self.group.processes)
            pytest.fail(
                f'timeout after {timeout} s, waiting for {what}; output of the nodes:\n{logs}'
            )

    def spin(self, condition, timeout):
        """Spin until `condition()` is true, at most `timeout` [s]; return whether it is."""
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                return False
            self.executor.spin_once(timeout_sec=0.02)
        return True

    def call(self, kind, name, request, timeout=TIMEOUT):
        """Call a service and return its response."""
        client = self.node.create_client(kind, name)
        self.wait(client.service_is_ready, f'the service {name}', timeout)
        future = client.call_async(request)
        self.wait(future.done, f'the response of {name}', timeout)
        self.node.destroy_client(client)
        return future.result()

    def interrupt(self, process, timeout=TIMEOUT):
        """
        Send SIGINT; return the exit code and the time until the exit [s].

        Time in which the process waited for a core does not count.
        """
        end, seconds, watch = time.monotonic() + timeout, 0.0, Stopwatch(process.pid)
        process.send_signal(signal.SIGINT)
        while process.poll() is None and time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.01)
            seconds = watch.read()
        return process.poll(), seconds

    def close(self):
        self.group.close()
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
    A graph with an `image` publisher and subscriptions to the superpoint node's topics.

    name: of the camera, the prefix of its topics if there are several cameras.
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
        """Messages of a topic without those of the warm-up, whose stamps have second 0."""
        messages = []

        def collect(message):
            self.warm = True
            if message.header.stamp.sec:
                messages.append(message)

        self.graph.node.create_subscription(kind, topic, collect, RELIABLE)
        return messages

    def start(self, *program, env=None, **parameters):
        """Start the superpoint node, with much time for inferences, and warm it up."""
        parameters = {'npu.timeout': TIMEOUT, **parameters}
        process = self.graph.start(*program, env=env, **parameters)
        self.wait_ready()
        return process

    def wait_ready(self):
        """
        Publish black images until keypoints arrive.

        Publisher and subscriber discover each other at different times, so the number of
        subscriptions proves no connection; only a received message does. Counts exclude these
        images.
        """
        self.graph.wait(
            lambda: self.camera.get_subscription_count(), 'the node to subscribe to images'
        )
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
        self.set_base()

    def send(self, image, **fields):
        """Publish a mono8 image with a new stamp; return the message."""
        self.sent += 1
        message = image_message(image)
        message.header.stamp.sec = self.sent
        message.header.frame_id = 'camera_optical'
        for name, value in fields.items():
            setattr(message, name, value)
        self.camera.publish(message)
        return message

    def send_and_wait(self, image, **fields):
        """Publish an image and wait for its keypoints; return both messages."""
        before = len(self.keypoints)
        message = self.send(image, **fields)
        self.graph.wait(lambda: len(self.keypoints) > before, 'keypoints')
        return message, self.keypoints[-1]

    def set_base(self):
        """Exclude all images up to now from the counts."""
        self.base = counts_of(self.status())

    def status(self):
        """Newest status of the camera."""
        title = f': {self.name or "camera"}'
        (status,) = (s for s in self.diagnostics[-1].status if s.name.endswith(title))
        return status

    def raw_counts(self):
        """Values of the newest diagnostics."""
        return {v.key: v.value for v in self.status().values}

    def counts(self):
        """Values of the newest diagnostics; counts exclude the warm-up."""
        counts = counts_of(self.status())
        return {**self.raw_counts(), **{k: n - self.base.get(k, 0) for k, n in counts.items()}}

    def wait_counts(self, **expected):
        """Wait for diagnostics with these counts; return all counts."""

        def arrived():
            return self.diagnostics and all(
                self.counts().get(key) == value for key, value in expected.items()
            )

        self.graph.wait(arrived, f'diagnostics with {expected}')
        return self.counts()
