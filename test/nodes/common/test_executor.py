"""Lifecycle changes, simulated time and the choice of the executor, in a real graph."""

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_graph import image_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, PointCloud

from superpoint_rknn.msg import Keypoints
from superpoint_rknn.nodes.common.executor import WAIT_SET, EventsExecutor, create_executor

TRACKER = ('-m', 'superpoint_rknn.nodes.tracker.node')
CYCLE = (
    Transition.TRANSITION_DEACTIVATE,
    Transition.TRANSITION_CLEANUP,
    Transition.TRANSITION_CONFIGURE,
    Transition.TRANSITION_ACTIVATE,
)
INCOMPATIBLE = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def test_lifecycle_changes_while_images_and_incompatible_subscriptions_arrive(graph, photo):
    process = graph.start(*TRACKER)
    camera = graph.node.create_publisher(Image, 'image', 5)
    image = image_message(photo)
    client = graph.node.create_client(ChangeState, 'tracker/change_state')
    graph.wait(client.service_is_ready, 'the node')
    graph.wait(camera.get_subscription_count, 'the node to subscribe to images')
    for number in range(30):
        incompatible = []
        for transition in CYCLE:
            incompatible += [
                graph.node.create_subscription(kind, topic, print, INCOMPATIBLE)
                for kind, topic in ((Keypoints, 'tracks'), (PointCloud, 'feature'))
            ]
            image.header.stamp.sec = number
            camera.publish(image)
            request = ChangeState.Request(transition=Transition(id=transition))
            response = client.call_async(request)
            graph.wait(response.done, 'the transition')
            assert response.result().success
        for subscription in incompatible:
            graph.node.destroy_subscription(subscription)
    tracks = graph.collect(Keypoints, 'tracks')
    graph.wait(camera.get_subscription_count, 'the node to subscribe to images')

    def tracked():
        image.header.stamp.sec += 1
        camera.publish(image)
        return tracks

    graph.wait(tracked, 'tracks')
    assert graph.interrupt(process)[0] == 0


def test_steady_timers_run_while_simulated_time_stands_still(graph):
    process = graph.start(*TRACKER, use_sim_time='true')
    clock = graph.node.create_publisher(Clock, '/clock', 5)
    graph.wait(clock.get_subscription_count, 'the node to subscribe to the clock')
    reports = graph.collect(DiagnosticArray, '/diagnostics')
    graph.wait(lambda: len(reports) >= 2, 'two reports')
    time = Clock()
    time.clock.sec = 1234
    graph.wait(
        lambda: clock.publish(time) or reports[-1].header.stamp.sec == 1234,
        'a report at the simulated time',
    )
    code, seconds = graph.interrupt(process)
    assert code == 0
    assert seconds < 2


@pytest.mark.parametrize('requested', [False, True])
def test_an_environment_variable_selects_the_single_threaded_executor(monkeypatch, requested):
    monkeypatch.setenv(WAIT_SET, '1' if requested else '')
    context = Context()
    context.init()
    executor = create_executor(context)
    expected = requested or EventsExecutor is None
    assert isinstance(executor, SingleThreadedExecutor) == expected
    executor.shutdown()
    context.shutdown()
