"""Header, keypoints, descriptors and tracks of a message are of one image, whatever threads do."""

import itertools
import random
import sys
import threading
import time

import cv2
import numpy as np
import pytest
from numbered_images import HEIGHT, PERIOD, WIDTH, Checks, NumberedRuntime, masks, write_image
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from ros_graph import RELIABLE, image_message
from sensor_msgs.msg import Image

from superpoint_rknn.extractor import Extractor
from superpoint_rknn.msg import Descriptors, Keypoints
from superpoint_rknn.nodes.common.diagnostics import ImageCounters, counts_of
from superpoint_rknn.nodes.common.executor import create_executor
from superpoint_rknn.nodes.common.in_process import Channel, InProcessCameras
from superpoint_rknn.nodes.common.messages import ReceivedImage
from superpoint_rknn.nodes.superpoint import camera as superpoint_camera
from superpoint_rknn.nodes.superpoint import network_check
from superpoint_rknn.nodes.superpoint.camera import Camera
from superpoint_rknn.nodes.superpoint.descriptor_buffers import DescriptorBuffers
from superpoint_rknn.nodes.superpoint.mailbox import Mailbox
from superpoint_rknn.nodes.superpoint.node import SuperPointNode
from superpoint_rknn.nodes.tracker.camera import TrackerCamera
from superpoint_rknn.nodes.tracker.node import TrackerNode
from superpoint_rknn.nodes.tracker.queue import TrackerQueue

HAND_OVERS = {
    Mailbox: ('put', 'take'),
    DescriptorBuffers: ('writable', 'complete', 'take_newest'),
    Channel: ('send',),
    ReceivedImage: ('__init__', 'grey'),
    Extractor: ('detect', 'describe'),
    Camera: ('receive', 'publish_keypoints', 'publish_descriptors'),
    TrackerQueue: ('put_image', 'put_keypoints', 'put_descriptors', 'take'),
    TrackerCamera: ('publish',),
    ImageCounters: ('finish',),
}
NAPS = 0.03  # probability of a pause at a hand-over
LONGEST_NAP = 1e-3  # [s]
BATCH = 100  # images between two checks of tracks
MASK_PERIOD = 0.03  # [s] from one mask to the next, or longer, until the node has read it
PARAMETERS = {
    'descriptors.rate': 200.0,
    'keypoints_wait': 10.0,  # keypoints are never late
    'min_distance': 6.0,
    'min_texture': 0.0,
}


def nap():
    """Pause, rarely, so that another thread comes in between."""
    if random.random() < NAPS:
        time.sleep(random.random() * LONGEST_NAP)


def with_naps(function):
    def call(*args, **kwargs):
        nap()
        result = function(*args, **kwargs)
        nap()
        return result

    return call


@pytest.fixture
def provoked_threads(monkeypatch):
    """Let threads take turns after a microsecond, and pause where they pass something on."""
    random.seed(0)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    # It would run the model on another image, without a number.
    monkeypatch.setattr(network_check, 'network_faults', lambda runtime: [])
    for owner, names in HAND_OVERS.items():
        for name in names:
            monkeypatch.setattr(owner, name, with_naps(getattr(owner, name)))
    yield
    sys.setswitchinterval(interval)


class NumberedNode(SuperPointNode):
    """The superpoint node on a NumberedRuntime."""

    def _open_runtime(self):
        self.runtime = NumberedRuntime(nap)
        return self.runtime

    @property
    def is_reading_mask(self):
        return self._mask_timer is not None


class Bench:
    """
    Both nodes, with an executor and a thread for each process, and a camera.

    in_process: both nodes are in one process, which passes objects.
    scale: of the camera image to the model input; 1: its pixels are passed through.
    """

    def __init__(self, graph, folder, in_process, scale):
        self.graph = graph
        self.checks = Checks(scale)
        paths = [str(folder / f'mask{n}.png') for n in range(2)]
        for path, mask in zip(paths, masks(scale), strict=True):
            cv2.imwrite(path, mask)
        self._masks = itertools.cycle([*paths, ''])
        overrides = [Parameter(name, value=value) for name, value in PARAMETERS.items()]
        options = {'context': graph.context, 'parameter_overrides': overrides}
        channels = InProcessCameras() if in_process else None
        self.superpoint = NumberedNode(in_process=channels, **options)
        self.tracker = TrackerNode(in_process=channels, **options)
        self.nodes = [self.superpoint, self.tracker]
        for node in self.nodes:
            assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        for node in self.nodes[::-1]:
            assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        self.superpoint.create_timer(MASK_PERIOD, self._change_mask)
        self._camera = graph.node.create_publisher(Image, 'image', RELIABLE)
        # One message and one buffer for all images.
        self._message = image_message(np.zeros((scale * HEIGHT, scale * WIDTH), np.uint8))
        self._buffer = np.frombuffer(self._message.data, np.uint8).reshape(scale * HEIGHT, -1)
        self.sent = 0
        for kind, topic, check in (
            (Keypoints, 'keypoints', self.checks.on_keypoints),
            (Descriptors, 'descriptors', self.checks.on_descriptors),
            (Keypoints, 'tracks', self.checks.on_tracks),
        ):
            graph.node.create_subscription(kind, topic, check, RELIABLE)
        self._ended = threading.Event()
        groups = [self.nodes] if in_process else [[node] for node in self.nodes]
        self._threads = [threading.Thread(target=self._spin, args=[nodes]) for nodes in groups]
        for thread in self._threads:
            thread.start()

    def wait_ready(self):
        """Publish images until the messages of all topics arrive; forget those so far."""
        checks = self.checks
        self.graph.wait(self._camera.get_subscription_count, 'the subscription to images')
        while not (checks.keypoints and checks.descriptors and checks.tracks):
            assert self.sent < 1000
            self._send()
            self.graph.spin(lambda: False, 0.02)
        self.graph.spin(lambda: checks.tracks >= self.sent, 1.0)
        self._first = self.sent - checks.tracks

    def run(self, images, seconds):
        """Publish images, one to three ahead of their tracks; at most `seconds` [s]."""
        end, last = time.monotonic() + seconds, self.sent + images
        while self.sent < last:
            assert time.monotonic() < end, f'{last - self.sent} images left after {seconds} s'
            ahead = random.randint(1, 3)
            self.graph.wait(lambda: self._waiting < ahead, 'tracks')  # noqa: B023
            self._send()
            if self.sent % BATCH == 0 or self.sent == last:
                self.graph.wait(lambda: not self._waiting, 'the last tracks')
                # The keypoints of the last images may be dropped: there is nothing to wait for.
                self.graph.spin(lambda: False, 0.01)
                self.checks.settle()
                assert self.errors[:10] == []

    @property
    def errors(self):
        return [*self.checks.errors, *self.superpoint.runtime.errors]

    @property
    def _waiting(self):
        return self.sent - self._first - self.checks.tracks

    def _send(self):
        self.sent += 1
        write_image(self.sent, self._buffer)
        header = self._message.header
        header.stamp.sec, header.stamp.nanosec = divmod((self.sent + 1) * PERIOD, 10**9)
        header.frame_id = str(self.sent)
        self._camera.publish(self._message)
        self._buffer[:] = 1

    def _change_mask(self):
        if self.superpoint.is_reading_mask:
            return
        parameter = Parameter('mask', value=next(self._masks))
        (result,) = self.superpoint.set_parameters([parameter])
        assert result.successful

    def _spin(self, nodes):
        executor = create_executor(self.graph.context)
        for node in nodes:
            executor.add_node(node)
        while not self._ended.is_set():
            executor.spin_once(timeout_sec=0.1)
        for node in nodes:
            executor.remove_node(node)

    def counts(self, node):
        """Counters of the images of a node."""
        return counts_of(node.statuses()[0])

    def close(self):
        self._ended.set()
        for thread in self._threads:
            thread.join()
        for node in self.nodes:
            node.shut_down()
            node.destroy_node()


@pytest.fixture
def start(graph, tmp_path, provoked_threads):
    benches = []

    def start(in_process, scale):
        benches.append(Bench(graph, tmp_path, in_process, scale))
        return benches[-1]

    yield start
    for bench in benches:
        bench.close()


@pytest.mark.parametrize(
    ('in_process', 'scale'), [(True, 1), (False, 2)], ids=['one process', 'two nodes']
)
@pytest.mark.parametrize(
    'images', [200, pytest.param(50_000, marks=pytest.mark.slow)], ids=['few', 'many']
)
def test_each_message_is_of_one_image(start, in_process, scale, images):
    bench = start(in_process, scale)
    bench.wait_ready()
    bench.run(images, seconds=1800)
    checks = bench.checks
    assert checks.tracks >= images
    assert images / 3 < checks.keypoints <= bench.sent
    assert checks.descriptors > images / 50
    assert checks.snapped > images
    assert len(checks.masked) > 1
    for node in bench.nodes:
        counts = bench.counts(node)
        assert counts['failed'] == counts['pending'] == 0
        assert counts['received'] == counts['published'] + counts['dropped']


def test_a_header_of_another_image_is_found(start, monkeypatch):
    headers, keypoints_message = [], superpoint_camera.keypoints_message
    receive = ReceivedImage.__init__

    def receive_and_note(image, message, *args):
        headers.append(message.header)
        receive(image, message, *args)

    def with_the_latest_header(header, *args):
        return keypoints_message(headers[-1], *args)

    monkeypatch.setattr(ReceivedImage, '__init__', receive_and_note)
    monkeypatch.setattr(superpoint_camera, 'keypoints_message', with_the_latest_header)
    bench = start(in_process=True, scale=1)
    bench.wait_ready()
    with pytest.raises(AssertionError, match='of another image'):
        bench.run(1000, seconds=60)
