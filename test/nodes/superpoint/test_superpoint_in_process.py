"""The superpoint node in the process of the test, with a runtime that computes nothing."""

import threading

import numpy as np
import pytest
from fake_runtime import HEIGHT, WIDTH, FakeRuntime
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_graph import RELIABLE, Graph, image_message
from sensor_msgs.msg import Image

from superpoint_rknn.msg import Descriptors, DescriptorsRaw, Keypoints
from superpoint_rknn.nodes.common import image_subscription
from superpoint_rknn.nodes.common.diagnostics import counts_of
from superpoint_rknn.nodes.common.managed_node import DIAGNOSTICS_PERIOD
from superpoint_rknn.nodes.superpoint import camera as camera_module
from superpoint_rknn.nodes.superpoint import descriptor_timer
from superpoint_rknn.nodes.superpoint.node import SuperPointNode

SECOND = 1_000_000_000  # [ns]
RARE = 0.01  # [Hz] rate of descriptors at which none are due during a test
IMAGE = np.zeros((HEIGHT, WIDTH), np.uint8)


class Node(SuperPointNode):
    """The node with a given runtime."""

    def __init__(self, runtime, **kwargs):
        self.fake = runtime
        super().__init__(**kwargs)

    def _open_runtime(self):
        return self.fake


class Bench:
    """An active node, publishers of its images, and its keypoints."""

    def __init__(self, graph, *names, qos=RELIABLE, **parameters):
        self.graph = graph
        self.runtime = FakeRuntime()
        self.sent = 0
        self.node = Node(
            self.runtime,
            context=graph.context,
            parameter_overrides=[
                Parameter('cameras', value=list(names) or ['']),
                *(Parameter(name.replace('__', '.'), value=v) for name, v in parameters.items()),
            ],
        )
        graph.executor.add_node(self.node)
        self.topics = [f'{name}/' for name in names] or ['']
        self.cameras = [graph.node.create_publisher(Image, f'{t}image', qos) for t in self.topics]
        self.subscriptions = []
        self.keypoints = self.collect(Keypoints, 'keypoints')
        assert self.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert self.node.trigger_activate() == TransitionCallbackReturn.SUCCESS

    def collect(self, kind, topic):
        """Return a list for each camera, to which the messages of its topic are appended."""
        lists = [[] for _ in self.topics]
        for prefix, messages in zip(self.topics, lists, strict=True):
            self.subscriptions.append(
                self.graph.node.create_subscription(
                    kind, f'{prefix}{topic}', messages.append, RELIABLE
                )
            )
        return lists

    def wait_ready(self):
        """Wait until images of each camera reach the node and its keypoints reach the test."""
        for number, keypoints in enumerate(self.keypoints):

            def arrives(number=number, keypoints=keypoints):
                self.send(number)
                return self.graph.spin(lambda: keypoints, 0.1)

            self.graph.wait(arrives, 'the first keypoints')
        self.graph.wait(lambda: self.counts()['pending'] == 0, 'the end of all images')
        return self

    def send(self, number=0):
        """Publish an image of a camera."""
        self.sent += 1
        message = image_message(IMAGE)
        message.header.stamp.sec = self.sent
        self.cameras[number].publish(message)

    def process_images(self):
        """
        Publish an image of each camera in turn and wait for its keypoints.

        Return for each image whether its descriptor map was fetched.
        """
        first = len(self.runtime.fetched)
        for number, keypoints in enumerate(self.keypoints):
            before = len(keypoints)
            self.send(number)
            self.graph.wait(lambda k=keypoints, n=before: len(k) > n, 'keypoints')
        return self.runtime.fetched[first:]

    def counts(self, number=0):
        """Image counts of a camera."""
        return counts_of(self.node.statuses()[number])

    def run_timer(self, clock, seconds):
        """
        Call the descriptor timer as often as it ticks in `seconds`.

        Process images of each camera before each tick, so that descriptors can be published.
        """
        (timer,) = [
            timer
            for timer in self.node.timers
            if timer.timer_period_ns != DIAGNOSTICS_PERIOD * SECOND
        ] or [None]
        if timer is None:
            return
        for _ in range(seconds * SECOND // timer.timer_period_ns):
            clock.now += timer.timer_period_ns / SECOND
            self.process_images()
            self.process_images()  # after it, the map of the first one is complete
            timer.callback()

    def close(self):
        self.node.shut_down()
        self.graph.executor.remove_node(self.node)
        self.node.destroy_node()
        for subscription in self.subscriptions:
            self.graph.node.destroy_subscription(subscription)
        for camera in self.cameras:
            self.graph.node.destroy_publisher(camera)


@pytest.fixture(scope='module')
def graph(tmp_path_factory):
    graph = Graph(tmp_path_factory.mktemp('graph'))
    yield graph
    graph.close()


class Clock:
    """Clock of the descriptor schedule and timer, which the test sets."""

    def __init__(self):
        self.now = 0.0  # [s]

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(descriptor_timer, 'monotonic', clock)
    return clock


@pytest.fixture
def start(graph):
    benches = []

    def start(*names, **parameters):
        benches.append(Bench(graph, *names, **parameters))
        return benches[-1]

    yield start
    for bench in benches:
        bench.close()


def test_images_of_a_best_effort_camera_arrive(start):
    best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    start(qos=best_effort).wait_ready().process_images()


def reliability(bench):
    """Reliability of the node's image subscription, as the graph shows it."""
    (info,) = bench.graph.node.get_subscriptions_info_by_topic('/image')
    return info.qos_profile.reliability


def test_the_subscription_is_reliable_while_all_publishers_are(start):
    bench = start().wait_ready()
    bench.node.statuses()
    bench.graph.wait(lambda: reliability(bench) == ReliabilityPolicy.RELIABLE, 'RELIABLE')
    best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    other = bench.graph.node.create_publisher(Image, 'image', best_effort)
    bench.cameras.append(other)  # destroyed at the end

    def is_best_effort():
        bench.node.statuses()
        return reliability(bench) == ReliabilityPolicy.BEST_EFFORT

    bench.graph.wait(is_best_effort, 'BEST_EFFORT')
    bench.wait_ready().process_images()


def test_an_overridden_reliability_stays(start):
    name = 'qos_overrides./image.subscription.reliability'
    bench = start(**{name: 'best_effort'}).wait_ready()
    bench.node.statuses()
    bench.graph.spin(lambda: False, 0.5)
    assert reliability(bench) == ReliabilityPolicy.BEST_EFFORT


def test_missing_images_are_explained_once(start, monkeypatch):
    bench = start().wait_ready()
    logged = []
    monkeypatch.setattr(image_subscription, 'SILENCE', 0.0)
    log = bench.node.get_logger()
    monkeypatch.setattr(log, 'warning', lambda text, **_: logged.append(text))
    monkeypatch.setattr(bench.node, 'get_logger', lambda: log)
    for _ in range(3):
        bench.node.check_inputs()
        (status,) = bench.node.statuses()
    assert status.message.startswith('no images: /image: published by /test, but no message')
    assert [text.partition(': ')[2] for text in logged] == [status.message.partition(': ')[2]]


def test_descriptor_maps_are_fetched_only_while_subscribed(start):
    bench = start(descriptors__rate=1000.0).wait_ready()
    bench.process_images()
    assert not any(bench.runtime.fetched[1:])  # the first one is the check of the network
    assert bench.counts()['descriptors'] == 0
    (descriptors,) = bench.collect(Descriptors, 'descriptors')
    bench.graph.wait(lambda: bench.process_images() and descriptors, 'descriptors')
    # Not each one: two images within a millisecond exceed the rate.
    bench.graph.wait(lambda: bench.process_images() == [True], 'a described image')
    bench.graph.node.destroy_subscription(bench.subscriptions.pop())
    bench.graph.wait(
        lambda: bench.process_images() == [False], 'the node to notice the lost subscription'
    )
    assert not any(bench.process_images() + bench.process_images())


def test_descriptors_are_made_in_the_forms_that_have_subscribers(start, monkeypatch):
    floats = []
    make = camera_module.descriptors_message
    monkeypatch.setattr(
        camera_module,
        'descriptors_message',
        lambda *args: floats.append(make(*args)) or floats[-1],
    )
    bench = start(descriptors__rate=1000.0)
    (raw,) = bench.collect(DescriptorsRaw, 'descriptors_raw')
    bench.wait_ready()
    bench.graph.wait(lambda: bench.process_images() and raw, 'descriptors in 8 bits')
    assert not floats
    assert bench.counts()['descriptors'] > 0
    bench.collect(Descriptors, 'descriptors')
    bench.graph.wait(lambda: bench.process_images() and floats, 'both forms')
    same = floats[0]
    bench.graph.wait(lambda: raw[-1].header.stamp.sec >= same.header.stamp.sec, 'both of an image')
    (bytes_of_it,) = [each for each in raw if each.header == same.header]
    assert bytes_of_it.keypoints == same.keypoints
    assert (bytes_of_it.dim, bytes_of_it.model) == (same.dim, same.model)


def test_each_camera_has_descriptors_at_the_current_rate(clock, start):
    bench = start('left', 'right', descriptors__rate=RARE)
    descriptors = bench.collect(Descriptors, 'descriptors')
    bench.wait_ready()
    bench.graph.wait(
        lambda: all(camera.has_descriptor_subscribers for camera in bench.node._cameras),
        'the node to notice the subscriptions',
    )
    for rate in (RARE, 2.5 * RARE, 0.0, RARE):
        (result,) = bench.node.set_parameters([Parameter('descriptors.rate', value=rate)])
        assert result.successful
        bench.run_timer(clock, 400)
        expected = round(400 * rate)
        for messages in descriptors:
            bench.graph.spin(lambda m=messages, n=expected: len(m) >= n, 10)
        bench.graph.spin(lambda: False, 0.05)  # to receive messages in excess
        for messages in descriptors:  # one more or less: the phase is kept
            assert abs(len(messages) - expected) <= (rate > 0)
        for messages in descriptors:
            messages.clear()


def test_frequent_changes_of_the_rate_do_not_delay_descriptors(clock, start):
    bench = start(descriptors__rate=RARE)
    (descriptors,) = bench.collect(Descriptors, 'descriptors')
    bench.wait_ready()
    bench.graph.wait(lambda: bench.node._cameras[0].has_descriptor_subscribers, 'the subscription')
    for number in range(40):
        clock.now += 0.1 / RARE
        bench.process_images()
        bench.process_images()
        rate = RARE * (1 + number % 2)
        assert bench.node.set_parameters([Parameter('descriptors.rate', value=rate)])[0].successful
    bench.graph.wait(lambda: len(descriptors) >= 3, 'descriptors')


def test_images_that_wait_or_are_processed_at_deactivation_count_as_dropped(start):
    bench = start().wait_ready()
    before = bench.counts()
    started, released = threading.Event(), threading.Event()

    def block():
        started.set()
        assert released.wait(30)

    bench.runtime.during = block
    bench.send()
    bench.graph.wait(started.is_set, 'an inference')
    bench.send()
    bench.graph.wait(lambda: bench.counts()['pending'] == 2, 'another image')
    bench.node.trigger_deactivate()  # does not wait for the end of the inference
    counts = bench.counts()
    assert counts['pending'] == 1
    assert counts['dropped'] == before['dropped'] + 1
    released.set()
    bench.graph.wait(lambda: bench.counts()['pending'] == 0, 'the inference to end')
    counts = bench.counts()
    assert counts['dropped'] == before['dropped'] + 2
    assert counts['published'] == before['published']
    assert counts['received'] == counts['published'] + counts['dropped']


def test_an_image_that_waits_for_its_partner_at_deactivation_counts_as_dropped(start):
    bench = start('left', 'right', stereo=True)
    bench.graph.wait(bench.cameras[0].get_subscription_count, 'the node to subscribe to images')

    def waits():
        bench.send()
        return bench.graph.spin(lambda: bench.counts()['pending'] == 1, 0.1)

    bench.graph.wait(waits, 'an image')
    dropped = bench.counts()['dropped']
    bench.node.trigger_deactivate()
    counts = bench.counts()
    assert counts['pending'] == 0
    assert counts['dropped'] == counts['received'] == dropped + 1
