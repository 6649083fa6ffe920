"""What the executor must bear, in a real graph."""

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
ROUND = (
    Transition.TRANSITION_DEACTIVATE,
    Transition.TRANSITION_CLEANUP,
    Transition.TRANSITION_CONFIGURE,
    Transition.TRANSITION_ACTIVATE,
)
UNMET = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)  # not what is offered


def test_topics_come_and_go_while_strangers_do_and_images_arrive(graph, photo):
    process = graph.start(*TRACKER)
    camera = graph.node.create_publisher(Image, 'image', 5)
    image = image_message(photo)
    client = graph.node.create_client(ChangeState, 'tracker/change_state')
    graph.wait(client.service_is_ready, 'the node')
    graph.wait(camera.get_subscription_count, 'the node to take images')
    for number in range(30):
        strangers = []
        for transition in ROUND:
            strangers += [
                graph.node.create_subscription(kind, topic, print, UNMET)
                for kind, topic in ((Keypoints, 'tracks'), (PointCloud, 'feature'))
            ]
            image.header.stamp.sec = number
            camera.publish(image)
            request = ChangeState.Request(transition=Transition(id=transition))
            answer = client.call_async(request)
            graph.wait(answer.done, 'the transition')
            assert answer.result().success
        for stranger in strangers:
            graph.node.destroy_subscription(stranger)
    tracks = graph.collect(Keypoints, 'tracks')
    graph.wait(camera.get_subscription_count, 'the node to take images')

    def tracked():
        image.header.stamp.sec += 1
        camera.publish(image)
        return tracks

    graph.wait(tracked, 'tracks')
    assert graph.interrupt(process)[0] == 0


def test_steady_timers_run_while_simulated_time_stands_still(graph):
    process = graph.start(*TRACKER, use_sim_time='true')
    clock = graph.node.create_publisher(Clock, '/clock', 5)
    graph.wait(clock.get_subscription_count, 'the node to hear the clock')
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


@pytest.mark.parametrize('asked', [False, True])
def test_the_plain_executor_runs_where_asked_for(monkeypatch, asked):
    monkeypatch.setenv(WAIT_SET, '1' if asked else '')
    context = Context()
    context.init()
    executor = create_executor(context)
    plain = asked or EventsExecutor is None
    assert isinstance(executor, SingleThreadedExecutor) == plain
    executor.shutdown()
    context.shutdown()
