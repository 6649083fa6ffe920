"""Both nodes in one process, in a real graph."""

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

from superpoint_rknn.msg import Descriptors, Keypoints
from superpoint_rknn.nodes.front_end import FrontEnd

FRONT_END = ('-m', 'superpoint_rknn.nodes.front_end')
TRACKER = ('-m', 'superpoint_rknn.nodes.tracker.node')
EXAMPLE = Path(__file__).parents[2] / 'examples' / 'front_end.py'
BLACK = np.zeros((400, 640), np.uint8)
USER = """
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
PATIENT = {'keypoints_wait': 10.0}


@pytest.fixture(scope='module')
def views(photographs):
    """What a camera sees that moves along a photograph."""
    image = cv2.imread(str(photographs / 'motorcycle_left.png'), cv2.IMREAD_GRAYSCALE)
    return [
        np.ascontiguousarray(image[50 + n : 450 + n, 50 + 3 * n : 690 + 3 * n]) for n in range(6)
    ]


@pytest.fixture
def camera(graph):
    return graph.node.create_publisher(Image, 'image', RELIABLE)


def at(picture, stamp):
    """Message of a picture with a stamp [ns]."""
    message = image_message(picture)
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
    return message


@pytest.fixture
def send(camera):
    """Publish an image, 50 ms after the one before."""
    numbers = itertools.count()

    def publish(picture):
        message = at(picture, 10**11 + next(numbers) * STEP)
        camera.publish(message)
        return message

    return publish


def show_until(graph, camera, picture, condition, what):
    """Show a picture again and again until `condition()`, whatever gets lost at first."""
    graph.wait(camera.get_subscription_count, 'a node to take images')
    for number in range(1, 31):
        camera.publish(at(picture, number * STEP))
        if graph.spin(condition, 2.0):
            return
    graph.wait(condition, what, 0)


def warm_up(graph, camera, tracks):
    """Show black images until tracks come back, of descriptors: all topics are connected."""
    diagnostics = graph.collect(DiagnosticArray, '/diagnostics')

    def connected():
        return tracks and any(
            entry.key == 'descriptors' and entry.value != '0'
            for message in diagnostics
            for status in message.status
            for entry in status.values
            if 'tracker' in status.name
        )

    show_until(graph, camera, BLACK, connected, 'tracks, and descriptors in the tracker')
    graph.spin(lambda: False, 1.0)  # what is still under way
    tracks.clear()


def tracks_of(graph, camera, send, views):
    """Tracks in each of the views, with descriptors between."""
    tracks = graph.collect(Keypoints, 'tracks')
    descriptors = graph.collect(Descriptors, 'descriptors')
    warm_up(graph, camera, tracks)
    for number, view in enumerate(views, 1):
        descriptors.clear()
        send(view)
        graph.wait(lambda: len(tracks) >= number and descriptors, 'tracks and descriptors')  # noqa: B023
    return [(m.id, m.age, m.x, m.y, m.score) for m in tracks]


def test_tracks_are_those_of_two_processes(graph, camera, send, views):
    parameters = {'descriptors.rate': 1000.0}
    nodes = [graph.start(**parameters), graph.start(*TRACKER, **PATIENT)]
    apart = tracks_of(graph, camera, send, views)
    for node in nodes:
        assert graph.interrupt(node)[0] == 0
    graph.wait(lambda: not camera.get_subscription_count(), 'the nodes to be gone')
    process = graph.start(*FRONT_END, **parameters, **PATIENT)
    together = tracks_of(graph, camera, send, views)
    assert together == apart
    assert min(len(ids) for ids, *_ in together) > 50
    assert max(together[-1][1]) == len(views)
    assert graph.interrupt(process)[0] == 0


def test_images_come_once_and_features_need_no_topic(graph, camera, send, views):
    graph.start(*FRONT_END, **PATIENT, **{'descriptors.rate': 1000.0})
    tracks = graph.collect(Keypoints, 'tracks')
    warm_up(graph, camera, tracks)
    send(views[0])
    graph.wait(lambda: tracks and tracks[-1].id, 'tracks')
    subscribers = [graph.node.count_subscribers(t) for t in ('image', 'keypoints', 'descriptors')]
    assert subscribers == [1, 0, 0]
    assert [graph.node.count_publishers(t) for t in ('keypoints', 'descriptors')] == [1, 1]


def test_life_of_both_and_ctrl_c(graph, camera, views):
    def state(node):
        return graph.call(GetState, f'{node}/get_state', GetState.Request()).current_state.id

    def change(node, transition):
        request = ChangeState.Request(transition=Transition(id=transition))
        return graph.call(ChangeState, f'{node}/change_state', request).success

    process = graph.start(*FRONT_END, autostart='false', **PATIENT)
    for node in ('superpoint', 'tracker'):
        assert state(node) == State.PRIMARY_STATE_UNCONFIGURED
        assert change(node, Transition.TRANSITION_CONFIGURE)
        assert change(node, Transition.TRANSITION_ACTIVATE)
    tracks = graph.collect(Keypoints, 'tracks')
    warm_up(graph, camera, tracks)
    assert change('tracker', Transition.TRANSITION_DEACTIVATE)
    keypoints = graph.collect(Keypoints, 'keypoints')
    show_until(graph, camera, views[0], lambda: keypoints, 'keypoints')
    assert not tracks
    assert change('superpoint', Transition.TRANSITION_DEACTIVATE)
    graph.wait(lambda: not camera.get_subscription_count(), 'the subscription to go')
    for node in ('tracker', 'superpoint'):
        assert change(node, Transition.TRANSITION_ACTIVATE)
    warm_up(graph, camera, tracks)
    code, seconds = graph.interrupt(process)
    assert code == 0
    assert seconds < 2
    assert 'Traceback' not in process.log.read_text()


def test_in_the_process_of_a_user(graph, camera, send, views):
    got = []
    with FrontEnd(
        graph.context,
        executor=graph.executor,
        namespace='rig',
        remappings={'image': '/image'},
        parameters={'max_tracks': 40, **PATIENT},
    ) as front_end:
        front_end.on_tracks(got.append)
        published = graph.collect(Keypoints, 'rig/tracks')
        graph.wait(camera.get_subscription_count, 'the node to take images')
        for number, view in enumerate(views[:3], 1):
            message = send(view)
            graph.wait(lambda: len(got) == len(published) == number, 'tracks')  # noqa: B023
            assert got[-1] == published[-1]
            assert got[-1].header.stamp == message.header.stamp
        assert list(got[-1].age) == sorted(got[-1].age, reverse=True)
        assert len(got[-1].id) == max(len(g.id) for g in got) == 40
        assert max(got[-1].age) == 3
        front_end.stop()
        graph.wait(lambda: not camera.get_subscription_count(), 'the subscription to go')
        front_end.start()
        graph.wait(camera.get_subscription_count, 'the node to take images again')
        send(views[3])
        graph.wait(lambda: len(got) == 4, 'tracks')
        assert max(got[-1].age) == 1
    assert not camera.get_subscription_count()
    assert graph.executor.get_nodes() == [graph.node]


def test_a_callback_that_fails_harms_nobody_else(graph, camera, send, views, capfd):
    def fail(tracks):
        raise ValueError('no estimator')

    got = []
    with FrontEnd(graph.context, executor=graph.executor, parameters=PATIENT) as front_end:
        front_end.on_tracks(fail)
        front_end.on_tracks(got.append)
        graph.wait(camera.get_subscription_count, 'the node to take images')
        for number, view in enumerate(views[:2], 1):
            send(view)
            graph.wait(lambda: len(got) == number, 'tracks')  # noqa: B023
        status = front_end.tracker.statuses()[0]
        assert {v.key: v.value for v in status.values}['failed'] == '0'
    assert 'ValueError: no estimator' in capfd.readouterr().err


@pytest.mark.parametrize(
    ('parameters', 'error', 'reason'),
    [
        ({'max_trakcs': 5}, ValueError, 'max_trakcs'),
        ({'model': '/nowhere.onnx'}, RuntimeError, 'the log says why'),
        ({'max_tracks': 0}, RuntimeError, 'the log says why'),
        ({'cameras': ['left', 'right']}, ValueError, "camera '': the parameter `cameras` is"),
    ],
)
def test_what_is_refused_leaves_nothing_behind(graph, parameters, error, reason):
    front_end = FrontEnd(graph.context, executor=graph.executor, parameters=parameters)
    front_end.on_tracks(print)
    with pytest.raises(error, match=reason), front_end:
        pytest.fail('it started')
    assert graph.executor.get_nodes() == [graph.node]
    assert 'image' not in dict(graph.node.get_topic_names_and_types())


def test_ctrl_c_while_the_model_is_loaded(graph, standin_libraries, model):
    library = standin_libraries[2]
    paths = {
        'LD_LIBRARY_PATH': [str(library.parent), os.environ.get('LD_LIBRARY_PATH', '')],
        'PYTHONPATH': [str(Path(rknn_standin.__file__).parent), os.environ.get('PYTHONPATH', '')],
    }
    env = {name: os.pathsep.join(folders) for name, folders in paths.items()}
    process = graph.start('-c', USER, str(library), str(model), env=env)
    graph.wait(lambda: graph.node.count_publishers('keypoints'), 'a node to be configured')
    graph.spin(lambda: False, 1.0)  # until its engine loads the model
    code, seconds = graph.interrupt(process)
    assert code == 0
    assert seconds < 4  # the node waits 1 s for the call to return
    output = process.log.read_text()
    assert 'interrupted' in output
    assert 'an inference call is still blocked and is abandoned' in output
    assert 'Traceback' not in output


def test_the_example(graph, camera, views):
    process = graph.start(str(EXAMPLE), 'image')
    show_until(
        graph, camera, views[0], lambda: ' at (' in process.log.read_text(), 'tracks to be printed'
    )
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    assert 'Traceback' not in process.log.read_text()
