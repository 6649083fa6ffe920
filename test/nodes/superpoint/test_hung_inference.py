"""An inference that returns late, or never, in a process of the user's own."""

import threading

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from fake_runtime import FakeRuntime
from ros_graph import RELIABLE, image_message
from sensor_msgs.msg import Image

from superpoint_rknn.msg import Keypoints
from superpoint_rknn.nodes.common.diagnostics import counts_of
from superpoint_rknn.nodes.superpoint import worker
from superpoint_rknn.nodes.superpoint.node import SuperPointNode


@pytest.fixture
def runtime():
    return FakeRuntime()


@pytest.fixture
def start(graph, runtime):
    """Start the node in this process, for a camera or a stereo pair."""
    nodes = []

    class Node(SuperPointNode):
        def _open_runtime(self):
            return runtime

    def start(*arguments):
        rules = ['-p', 'npu.timeout:=0.2', *arguments]
        node = Node(context=graph.context, cli_args=['--ros-args', *rules])
        nodes.append(node)
        graph.executor.add_node(node)
        node.trigger_configure()
        node.trigger_activate()
        graph.wait(lambda: runtime.images, 'the check of the network')
        return node

    yield start
    for node in nodes:
        node.shut_down()
        graph.executor.remove_node(node)
        node.destroy_node()


def values(status):
    return {entry.key: entry.value for entry in status.values}


@pytest.mark.parametrize('cameras', [[''], ['left', 'right']], ids=['mono', 'stereo'])
def test_images_of_an_inference_that_hangs_are_counted_as_failed_once(
    graph, start, runtime, photo, cameras
):
    stereo = ['-p', "cameras:=['left', 'right']", '-p', 'stereo:=true']
    node = start(*(stereo if len(cameras) == 2 else []))
    prefixes = [f'{camera}/' if camera else '' for camera in cameras]
    publishers = [graph.node.create_publisher(Image, f'{p}image', RELIABLE) for p in prefixes]
    keypoints = graph.collect(Keypoints, f'{prefixes[0]}keypoints')
    graph.wait(lambda: all(p.get_subscription_count() for p in publishers), 'the subscriptions')

    def send():
        for publisher in publishers:
            publisher.publish(image_message(photo))

    for _ in range(20):
        send()
        if graph.spin(lambda: keypoints, 1.0):
            break
    assert keypoints
    assert node._worker.mailbox.wait_done(5)
    may_return, entered = threading.Event(), threading.Event()
    runtime.during = lambda: (entered.set(), may_return.wait())
    send()
    graph.wait(entered.is_set, 'an inference that hangs')
    before = len(keypoints)
    graph.wait(lambda: node._worker.is_hung, 'the timeout')
    for _ in range(3):  # the newest one stays in the mailbox
        node.check_inputs()
        send()
        graph.spin(lambda: False, 0.3)
    node.check_inputs()
    statuses = node.statuses()
    assert {status.level for status in statuses} == {DiagnosticStatus.ERROR}
    assert all('has not returned for' in status.message for status in statuses)
    assert [values(status)['failed'] for status in statuses] == ['3'] * len(cameras)
    may_return.set()
    graph.wait(lambda: not node._worker.is_hung, 'the return')
    graph.wait(lambda: len(keypoints) > before, 'keypoints of the image in the mailbox')
    assert node._worker.mailbox.wait_done(5)
    graph.spin(lambda: len(keypoints) > before + 1, 0.5)
    assert len(keypoints) == before + 1  # none of the image that counts as failed
    for status in node.statuses():
        counts = counts_of(status)
        assert (counts['failed'], counts['pending']) == (3, 0)
        assert status.level != DiagnosticStatus.ERROR


def test_a_call_that_is_lost_is_reported_and_the_process_goes_on(graph, start, runtime):
    node = start()
    assert not node.is_lost
    may_return = threading.Event()
    runtime.during = may_return.wait
    camera = graph.node.create_publisher(Image, 'image', RELIABLE)
    graph.wait(camera.get_subscription_count, 'the subscription')

    def lost():
        camera.publish(image_message(np.zeros((32, 48), np.uint8)))
        graph.spin(lambda: node.is_lost, 0.2)
        return node.is_lost

    graph.wait(lost, 'the loss of the call')
    assert node._worker._timeouts > worker.LOST_AFTER
    assert node.statuses()[0].level == DiagnosticStatus.ERROR
    may_return.set()
    graph.wait(lambda: not node.is_lost, 'the return')
