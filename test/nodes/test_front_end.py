"""Superpoint and tracker in one process, in a real graph."""

import itertools
import os
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
import rknn_standin
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from ros_graph import RELIABLE, image_message
from sensor_msgs.msg import Image

from superpoint_rknn.errors import NotReadyError
from superpoint_rknn.msg import Descriptors, Keypoints
from superpoint_rknn.nodes.front_end import FrontEnd, NotStartedError

FRONT_END = ('-m', 'superpoint_rknn.nodes.front_end')
TRACKER = ('-m', 'superpoint_rknn.nodes.tracker.node')
EXAMPLE = Path(__file__).parents[2] / 'examples' / 'front_end.py'
BLACK = np.zeros((400, 640), np.uint8)
USER_PROGRAM = """
import sys
from pathlib import Path
import rclpy
from rclpy.signals import SignalHandlerOptions
from rknn_standin import Standin
from superpoint_rknn.nodes.front_end import FrontEnd

standin = Standin(2, Path(sys.argv[1]))
standin.block('rknn_init', True)
rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
try:
    with FrontEnd(parameters={'model': sys.argv[2]}):
        print('started')
except KeyboardInterrupt:
    print('interrupted')
"""
STEP = 50_000_000  # [ns] between two images
LONG_WAIT = {'keypoints_wait': 10.0}


@pytest.fixture(scope='module')
def views(photographs):
    """Views of a camera that moves along a photograph."""
    image = cv2.imread(str(photographs / 'motorcycle_left.png'), cv2.IMREAD_GRAYSCALE)
    return [
        np.ascontiguousarray(image[50 + n : 450 + n, 50 + 3 * n : 690 + 3 * n]) for n in range(6)
    ]


@pytest.fixture
def camera(graph):
    return graph.node.create_publisher(Image, 'image', RELIABLE)


def stamped_image(picture, stamp):
    """Image message with a stamp [ns]."""
    message = image_message(picture)
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
    return message


@pytest.fixture
def send(camera):
    """Function that publishes an image, 50 ms after the one before."""
    numbers = itertools.count()

    def publish(picture):
        message = stamped_image(picture, 10**11 + next(numbers) * STEP)
        camera.publish(message)
        return message

    return publish


def publish_until(graph, camera, picture, condition, what):
    """Publish a picture until `condition()` is true: the first messages may be lost."""
    graph.wait(camera.get_subscription_count, 'a node to subscribe to images')
    for number in range(1, 31):
        camera.publish(stamped_image(picture, number * STEP))
        if graph.spin(condition, 2.0):
            return
    graph.wait(condition, what, 0)


def warm_up(graph, camera, tracks):
    """Publish black images until tracks arrive here and descriptors in the tracker."""
    diagnostics = graph.collect(DiagnosticArray, '/diagnostics')

    def connected():
        return tracks and any(
            entry.key == 'descriptors' and entry.value != '0'
            for message in diagnostics
            for status in message.status
            for entry in status.values
            if 'tracker' in status.name
        )

    publish_until(graph, camera, BLACK, connected, 'tracks, and descriptors in the tracker')
    graph.spin(lambda: False, 1.0)  # for messages in transit
    tracks.clear()


def tracks_of(graph, camera, send, views):
    """Tracks of each view; descriptors arrive between the views."""
    tracks = graph.collect(Keypoints, 'tracks')
    descriptors = graph.collect(Descriptors, 'descriptors')
    warm_up(graph, camera, tracks)
    for number, view in enumerate(views, 1):
        descriptors.clear()
        send(view)
        graph.wait(lambda: len(tracks) >= number and descriptors, 'tracks and descriptors')  # noqa: B023
    return [(m.id, m.age, m.x, m.y, m.score) for m in tracks]


def test_tracks_equal_those_of_two_processes(graph, camera, send, views):
    parameters = {'descriptors.rate': 1000.0}
    nodes = [graph.start(**parameters), graph.start(*TRACKER, **LONG_WAIT)]
    separate = tracks_of(graph, camera, send, views)
    for node in nodes:
        assert graph.interrupt(node)[0] == 0
    graph.wait(lambda: not camera.get_subscription_count(), 'the nodes to exit')
    process = graph.start(*FRONT_END, **parameters, **LONG_WAIT)
    composed = tracks_of(graph, camera, send, views)
    assert composed == separate
    assert min(len(ids) for ids, *_ in composed) > 50
    assert max(composed[-1][1]) == len(views)
    assert graph.interrupt(process)[0] == 0


def test_composed_nodes_subscribe_to_images_once_and_not_to_features(graph, camera, send, views):
    graph.start(*FRONT_END, **LONG_WAIT, **{'descriptors.rate': 1000.0})
    tracks = graph.collect(Keypoints, 'tracks')
    warm_up(graph, camera, tracks)
    send(views[0])
    graph.wait(lambda: tracks and tracks[-1].id, 'tracks')
    subscribers = [graph.node.count_subscribers(t) for t in ('image', 'keypoints', 'descriptors')]
    assert subscribers == [1, 0, 0]
    assert [graph.node.count_publishers(t) for t in ('keypoints', 'descriptors')] == [1, 1]


def test_lifecycle_of_both_nodes_and_ctrl_c(graph, camera, views):
    def state(node):
        return graph.call(GetState, f'{node}/get_state', GetState.Request()).current_state.id

    def change(node, transition):
        request = ChangeState.Request(transition=Transition(id=transition))
        return graph.call(ChangeState, f'{node}/change_state', request).success

    process = graph.start(*FRONT_END, autostart='false', **LONG_WAIT)
    for node in ('superpoint', 'tracker'):
        assert state(node) == State.PRIMARY_STATE_UNCONFIGURED
        assert change(node, Transition.TRANSITION_CONFIGURE)
        assert change(node, Transition.TRANSITION_ACTIVATE)
    tracks = graph.collect(Keypoints, 'tracks')
    warm_up(graph, camera, tracks)
    assert change('tracker', Transition.TRANSITION_DEACTIVATE)
    keypoints = graph.collect(Keypoints, 'keypoints')
    publish_until(graph, camera, views[0], lambda: keypoints, 'keypoints')
    assert not tracks
    assert change('superpoint', Transition.TRANSITION_DEACTIVATE)
    graph.wait(lambda: not camera.get_subscription_count(), 'the subscription to be destroyed')
    for node in ('tracker', 'superpoint'):
        assert change(node, Transition.TRANSITION_ACTIVATE)
    warm_up(graph, camera, tracks)
    code, seconds = graph.interrupt(process)
    assert code == 0
    assert seconds < 2
    assert 'Traceback' not in process.log.read_text()


def test_front_end_in_the_process_of_a_user(graph, camera, send, views):
    received = []
    with FrontEnd(
        graph.context,
        executor=graph.executor,
        namespace='rig',
        remappings={'image': '/image'},
        parameters={'max_tracks': 40, **LONG_WAIT},
    ) as front_end:
        front_end.on_tracks(received.append)
        published = graph.collect(Keypoints, 'rig/tracks')
        graph.wait(camera.get_subscription_count, 'the node to subscribe to images')
        for number, view in enumerate(views[:3], 1):
            message = send(view)
            graph.wait(lambda: len(received) == len(published) == number, 'tracks')  # noqa: B023
            assert received[-1] == published[-1]
            assert received[-1].header.stamp == message.header.stamp
        assert list(received[-1].age) == sorted(received[-1].age, reverse=True)
        assert len(received[-1].id) == max(len(g.id) for g in received) == 40
        assert max(received[-1].age) == 3
        front_end.stop()
        graph.wait(lambda: not camera.get_subscription_count(), 'the subscription to be destroyed')
        front_end.start()
        graph.wait(camera.get_subscription_count, 'the node to subscribe to images again')
        send(views[3])
        graph.wait(lambda: len(received) == 4, 'tracks')
        assert max(received[-1].age) == 1
    assert not camera.get_subscription_count()
    assert graph.executor.get_nodes() == [graph.node]


def test_an_exception_in_a_callback_is_logged_and_others_are_called(
    graph, camera, send, views, capfd
):
    def fail(tracks):
        raise ValueError('no estimator')

    received = []
    with FrontEnd(graph.context, executor=graph.executor, parameters=LONG_WAIT) as front_end:
        front_end.on_tracks(fail)
        front_end.on_tracks(received.append)
        graph.wait(camera.get_subscription_count, 'the node to subscribe to images')
        for number, view in enumerate(views[:2], 1):
            send(view)
            graph.wait(lambda: len(received) == number, 'tracks')  # noqa: B023
        status = front_end.tracker.statuses()[0]
        assert {v.key: v.value for v in status.values}['failed'] == '0'
    assert 'ValueError: no estimator' in capfd.readouterr().err


@pytest.mark.parametrize(
    ('parameters', 'error', 'reason'),
    [
        ({'max_trakcs': 5}, ValueError, 'max_trakcs'),
        ({'model': '/nowhere.onnx'}, NotReadyError, 'superpoint did not start: /nowhere.onnx: no'),
        ({'model': __file__}, NotStartedError, 'superpoint did not start: .* suffix'),
        ({'max_tracks': 0}, NotStartedError, 'tracker did not start: .*max_tracks'),
        ({'cameras': ['left', 'right']}, ValueError, "camera '': the parameter `cameras` is"),
    ],
)
def test_a_failed_start_destroys_the_nodes(graph, parameters, error, reason):
    front_end = FrontEnd(graph.context, executor=graph.executor, parameters=parameters)
    front_end.on_tracks(print)
    with pytest.raises(error, match=reason) as raised, front_end:
        pytest.fail('it started')
    assert isinstance(raised.value, NotReadyError) == (error is NotReadyError)
    assert graph.executor.get_nodes() == [graph.node]
    assert 'image' not in dict(graph.node.get_topic_names_and_types())


def test_ctrl_c_while_the_model_is_being_loaded(graph, standin_libraries, model):
    library = standin_libraries[2]
    paths = {
        'LD_LIBRARY_PATH': [str(library.parent), os.environ.get('LD_LIBRARY_PATH', '')],
        'PYTHONPATH': [str(Path(rknn_standin.__file__).parent), os.environ.get('PYTHONPATH', '')],
    }
    env = {name: os.pathsep.join(folders) for name, folders in paths.items()}
    process = graph.start('-c', USER_PROGRAM, str(library), str(model), env=env)
    graph.wait(lambda: graph.node.count_publishers('keypoints'), 'a node to be configured')
    graph.spin(lambda: False, 1.0)  # until it loads the model
    code, seconds = graph.interrupt(process)
    assert code == 0
    assert seconds < 4  # the node waits 1 s for the call to return
    output = process.log.read_text()
    assert 'interrupted' in output
    assert 'an inference call is still blocked and is abandoned' in output
    assert 'Traceback' not in output


def test_the_example_prints_tracks(graph, camera, views):
    process = graph.start(str(EXAMPLE), 'image')
    publish_until(
        graph, camera, views[0], lambda: ' at (' in process.log.read_text(), 'tracks to be printed'
    )
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    assert 'Traceback' not in process.log.read_text()
