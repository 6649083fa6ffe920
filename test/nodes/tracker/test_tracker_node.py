"""The tracker node in a real graph."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import DescribeParameters, SetParameters
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_graph import RELIABLE, image_message
from sensor_msgs.msg import Image
from tracker_rig import STEP, TRACKER, TrackerRig, calibration, corners, rotated_view, stamp_ns

from superpoint_rknn.features.rate import MAX_LATE
from superpoint_rknn.msg import Keypoints
from superpoint_rknn.nodes.common.diagnostics import counts_of
from superpoint_rknn.nodes.tracker import camera as camera_module
from superpoint_rknn.nodes.tracker.node import TrackerNode
from superpoint_rknn.nodes.tracker.parameters import PARAMETERS


def positions(tracks):
    return dict(zip(tracks.id, zip(tracks.x, tracks.y, strict=True), strict=True))


def directions(cloud):
    """{id: direction} of a `feature` message."""
    ids = [int(v) for v in cloud.channels[0].values]
    return dict(zip(ids, ([p.x, p.y, p.z] for p in cloud.points), strict=True))


def rotation_between(before, now):
    """Rotation vector [rad] of the common ids (Wahba's problem, by SVD), and their number."""
    common = sorted(set(before) & set(now))
    a, b = (np.array([d[i] for i in common]) for d in (before, now))
    a, b = (d / np.linalg.norm(d, axis=1, keepdims=True) for d in (a, b))
    u, _, vt = np.linalg.svd(b.T @ a)
    matrix = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    return cv2.Rodrigues(matrix)[0].ravel(), len(common)


def test_ids_and_stamps_of_both_nodes_while_the_camera_rotates(graph, photo):
    """Images -> superpoint on the CPU runtime -> tracker -> rotation."""
    rig = TrackerRig(graph)
    graph.start(**{'descriptors.rate': 5.0})
    graph.wait(lambda: graph.node.count_publishers('keypoints'), 'superpoint')
    rig.start(
        photo,
        calibration(),
        detector=False,
        **{'feature.format': 'vins_fusion', 'feature.rate': 0.0, 'keypoints_wait': 5.0},
    )
    _, first = rig.track(photo, calibration())
    assert len(first.id) > 100
    stamps, seen = [], [first]
    for image in range(1, 9):
        rotation = np.array([0.002, -0.008, 0.004]) * image
        view, homography = rotated_view(photo, rotation)
        message, tracks = rig.track(view, calibration())
        assert tracks.header == message.header
        assert (tracks.height, tracks.width) == (400, 640)
        assert len(set(tracks.id)) == len(tracks.id)
        assert list(tracks.age) == sorted(tracks.age, reverse=True)
        stamps.append(stamp_ns(tracks))
        seen.append(tracks)
    assert stamps == sorted(set(stamps))
    start, end = positions(first), positions(seen[-1])
    common = sorted(set(start) & set(end))
    assert len(common) > 0.7 * len(start)
    expected = cv2.perspectiveTransform(np.array([[start[i] for i in common]]), homography)[0]
    errors = np.linalg.norm(expected - [end[i] for i in common], axis=1)
    assert np.median(errors) < 0.7
    assert np.mean(errors < 2) > 0.97
    ages = [dict(zip(t.id, t.age, strict=True)) for t in seen]
    assert {ages[-1][i] - ages[0][i] for i in common} == {8}

    graph.wait(lambda: stamp_ns(rig.features[-1]) == stamps[-1], 'the last features')
    by_stamp = {stamp_ns(f): f for f in rig.features}
    found, count = rotation_between(
        directions(by_stamp[stamp_ns(first)]), directions(by_stamp[stamps[-1]])
    )
    assert count > 0.7 * len(start)
    assert np.degrees(np.linalg.norm(found - rotation)) < 0.5
    assert rig.restarts == []


def test_ids_return_after_an_occlusion_but_not_in_features(graph, photo):
    """Re-association by descriptors of the real network, which arrive some images late."""
    rig = TrackerRig(graph)
    graph.start(**{'descriptors.rate': 20.0})
    graph.wait(lambda: graph.node.count_publishers('keypoints'), 'superpoint')
    given = {'feature.format': 'vins_fusion', 'feature.rate': 0.0, 'keypoints_wait': 5.0}
    rig.start(photo, calibration(), detector=False, **given)

    def described(number):
        return rig.diagnostics and int(rig.counts()['descriptors']) >= number

    graph.wait(lambda: rig.track(photo, calibration()) and described(1), 'descriptors')
    before = int(rig.counts()['descriptors'])
    graph.wait(
        lambda: rig.track(photo, calibration()) and described(before + 2), 'descriptors of all'
    )
    _, last = rig.track(photo, calibration())
    _, dark = rig.track(np.zeros_like(photo), calibration())
    assert len(dark.id) == 0
    view, _ = rotated_view(photo, [0.01, 0.02, 0.05])
    _, new = rig.track(view, calibration())
    assert not set(new.id) & set(last.id)

    def reassociated():
        _, tracks = rig.track(view, calibration())
        return len(set(tracks.id) & set(last.id)) > 0.5 * len(last.id)

    graph.wait(reassociated, 'the ids to return')
    tracks = rig.tracks[-1]
    back = set(tracks.id) & set(last.id)
    ages = dict(zip(tracks.id, tracks.age, strict=True))
    old = dict(zip(last.id, last.age, strict=True))
    gap = {ages[i] - old[i] for i in back}
    assert len(gap) == 1  # all aged by as many images
    assert gap.pop() >= 3
    stamp = stamp_ns(tracks)
    graph.wait(lambda: stamp_ns(rig.features[-1]) == stamp, 'features')
    assert not set(directions(rig.features[-1])) & set(last.id)


def test_images_without_keypoints_are_tracked(graph, photo):
    rig = TrackerRig(graph)
    rig.start(photo, keypoints_wait=0.05)
    _, first = rig.track(photo)
    _, second = rig.track(photo, keypoints=False)
    assert set(second.id) == set(first.id)
    assert rig.features == []


def test_tracks_begin_at_late_keypoints(graph, photo):
    rig = TrackerRig(graph)
    process = rig.start(photo, keypoints_wait=0.05)
    log = process.log.read_text
    rig.track(np.zeros_like(photo))  # all tracks end
    message, tracks = rig.track(photo, keypoints=False)
    assert len(tracks.id) == 0
    rig.track(photo, keypoints=False)
    rig.detector.publish(corners(message.header, photo))
    graph.wait(lambda: 'tracks begin at them now' in log(), 'a warning')
    _, tracks = rig.track(photo, keypoints=False)
    assert len(tracks.id) > 100
    assert set(tracks.age) == {1}
    assert f'{len(tracks.id)} tracks begin at them now' in log()
    assert 'keypoints_wait is 0.05 s' in log()
    graph.wait(lambda: rig.diagnostics and rig.counts().get('late_keypoints') == '1', 'the count')
    assert rig.counts()['tracks_born_late'] == str(len(tracks.id))


def test_images_wait_for_remapped_keypoints(graph, photo):
    rig = TrackerRig(graph)
    rig.detector = graph.node.create_publisher(Keypoints, 'detector/points', RELIABLE)
    graph.start(*TRACKER, '--ros-args', '-r', 'keypoints:=detector/points', keypoints_wait=10.0)
    rig.warm_up(photo)
    seen = len(rig.tracks)
    message = rig.send(photo, keypoints=False)
    assert not graph.spin(lambda: len(rig.tracks) > seen, 0.5)
    rig.detector.publish(corners(message.header, photo))
    graph.wait(lambda: len(rig.tracks) > seen, 'the tracks')


def test_a_jump_of_stamps_restarts_the_estimator_and_no_id_returns(graph, photo):
    rig = TrackerRig(graph)
    process = rig.start(
        photo, calibration(), **{'feature.format': 'vins_mono', 'feature.rate': 0.0}
    )
    _, before = rig.track(photo, calibration())
    assert all(c.name != 'camera' for c in rig.features[-1].channels)
    assert rig.features[-1].header.frame_id == 'world'
    for number, step in enumerate((2 * 10**9, -2 * 10**9), 1):
        _, after = rig.track(photo, calibration(), step=step)
        graph.wait(lambda number=number: len(rig.restarts) == number, 'restart')
        assert rig.restarts[-1].data
        assert min(after.id) > max(before.id)
        assert set(after.age) == {1}
        _, before = rig.track(photo, calibration())
        assert set(before.age) == {1, 2} or set(before.age) == {2}
    assert 'header.stamp jumps from' in process.log.read_text()
    cut = photo[:392]
    _, after = rig.track(cut, calibration(height=392))
    graph.wait(lambda: len(rig.restarts) == 3, 'restart after a change of the size')
    assert min(after.id) > max(before.id)
    assert 'height, width changed from (400, 640) to (392, 640)' in process.log.read_text()


def test_a_late_image_is_dropped_and_a_clock_set_back_restarts(graph, photo):
    rig = TrackerRig(graph)
    process = rig.start(
        photo, calibration(), **{'feature.format': 'vins_fusion', 'feature.rate': 0.0}
    )
    _, before = rig.track(photo, calibration())
    late = rig.send(photo, calibration(), step=-STEP // 50)
    rig.send(photo, calibration(), step=-STEP // 50)  # two in a row
    _, after = rig.track(photo, calibration(), step=STEP)
    assert max(after.age) == max(before.age) + 1
    assert stamp_ns(late) not in [stamp_ns(tracks) for tracks in rig.tracks]
    assert rig.restarts == []
    assert 'header.stamp is 0.001 s before' in process.log.read_text()
    graph.wait(lambda: rig.diagnostics and rig.counts().get('late_images') == '2', 'the count')
    counts = rig.counts()
    assert counts['dropped'] == '2'
    rig.stamp -= 5 * 10**8
    for _ in range(MAX_LATE):
        rig.send(photo, calibration())
    _, restarted = rig.track(photo, calibration())
    assert set(restarted.age) == {1}
    graph.wait(lambda: len(rig.restarts) == 1, 'restart')


def test_every_nth_image_has_a_feature_message(graph, photo):
    rig = TrackerRig(graph)
    process = rig.start(photo, calibration(), **{'feature.format': 'vins_fusion'})
    for _ in range(24):
        rig.track(photo, calibration())

    def last_steps():
        """Last steps between feature messages, in images."""
        stamps = sorted(stamp_ns(cloud) for cloud in rig.features)
        return [(b - a) / STEP for a, b in pairwise(stamps)][-8:]

    graph.wait(lambda: last_steps() == [2] * 8, 'a message for each second image')
    graph.wait(lambda: rig.diagnostics and 'camera_rate_hz' in rig.counts(), 'diagnostics')
    assert rig.counts()['camera_rate_hz'] == '20.00'
    assert rig.counts()['feature_every_nth_image'] == '2'
    line = '`feature` at 10.0 Hz: one of 2 images of a camera of 20.0 Hz, feature.rate is 10 Hz'
    assert process.log.read_text().count(line) == 1
    value = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=5.0)
    request = SetParameters.Request(parameters=[Parameter(name='feature.rate', value=value)])
    assert graph.call(SetParameters, 'tracker/set_parameters', request).results[0].successful
    for _ in range(16):
        rig.track(photo, calibration())
    graph.wait(lambda: last_steps()[-3:] == [4] * 3, 'a message for each fourth image')
    assert '`feature` at 5.0 Hz: one of 4 images' in process.log.read_text()


def test_invalid_input_is_reported_and_the_next_image_is_tracked(graph, photo):
    rig = TrackerRig(graph)
    process = rig.start(photo, **{'feature.format': 'vins_fusion', 'feature.rate': 0.0})
    log = process.log.read_text
    graph.wait(lambda: '/camera_info: nothing received' in log(), 'a warning')
    rig.send(photo, encoding='nonsense')
    rig.track(photo)
    rig.send(photo, step=0)  # the stamp of the image before
    rig.track(photo)
    graph.wait(lambda: rig.diagnostics and rig.counts()['failed'] == '2', 'two failed images')
    counts = counts_of(rig.status())
    assert counts['received'] == counts['published'] + counts['dropped'] + counts['failed']
    assert counts['tracks_alive'] == len(rig.tracks[-1].id)
    assert counts['tracks_born'] - counts['tracks_lost'] == counts['tracks_alive']
    assert 'nonsense' in log()
    assert rig.features == []
    graph.wait(
        lambda: (
            rig.track(photo, calibration(k=[0.0] * 9)) and 'the camera is not calibrated' in log()
        ),
        'the warning of an uncalibrated camera',
    )

    def reported():
        rig.track(photo)
        text = rig.diagnostics[-1].status[0].message
        return text.startswith('`feature` needs a calibrated camera: /camera_info: k: ')

    graph.wait(reported, 'the same in diagnostics')
    wild = calibration(d=[1e5, -1e5, 1e5, 1e5, 1e5])
    graph.wait(lambda: rig.track(photo, wild) and '`feature` lacks most points' in log(), 'that')


def test_parameters_are_described_and_change_at_runtime_or_are_rejected(graph, photo):
    rig = TrackerRig(graph)
    rig.start(photo)
    names = [p.name for p in PARAMETERS]
    response = graph.call(
        DescribeParameters, 'tracker/describe_parameters', DescribeParameters.Request(names=names)
    )
    assert all(d.description for d in response.descriptors)

    def change(name, **value):
        kind = getattr(ParameterType, 'PARAMETER_' + next(iter(value)).split('_value')[0].upper())
        parameter = Parameter(name=name, value=ParameterValue(type=kind, **value))
        request = SetParameters.Request(parameters=[parameter])
        return graph.call(SetParameters, 'tracker/set_parameters', request).results[0]

    assert change('max_tracks', integer_value=9).successful
    assert len(rig.track(photo)[1].id) == 9
    assert 'grid' in change('grid', integer_array_value=[0, 3]).reason
    rejected = change('feature.format', string_value='msckf')
    assert rejected.reason.startswith("feature.format: 'msckf', expected one of off")


def test_lifecycle_transitions_and_ctrl_c(graph, photo):
    rig = TrackerRig(graph)
    process = rig.start(photo, detector=True)

    def transition(identity):
        request = ChangeState.Request(transition=Transition(id=identity))
        assert graph.call(ChangeState, 'tracker/change_state', request).success

    for _ in range(2):
        transition(Transition.TRANSITION_DEACTIVATE)
        graph.wait(
            lambda: not rig.camera.get_subscription_count(), 'the subscription to be destroyed'
        )
        transition(Transition.TRANSITION_CLEANUP)
        transition(Transition.TRANSITION_CONFIGURE)
        transition(Transition.TRANSITION_ACTIVATE)
        rig.tracks.clear()
        rig.warm_up(photo)
    code, seconds = graph.interrupt(process)
    assert code == 0
    assert seconds < 2
    assert 'Traceback' not in process.log.read_text()


def test_an_invalid_parameter_leaves_the_node_unconfigured(graph):
    process = graph.start(*TRACKER, grid='[0,3]')
    graph.wait(lambda: 'not configured: grid' in process.log.read_text(), 'the error')
    state = graph.call(GetState, 'tracker/get_state', GetState.Request()).current_state.id
    assert state == State.PRIMARY_STATE_UNCONFIGURED
    assert graph.interrupt(process)[0] == 0


@pytest.fixture
def node(graph):
    """The tracker in this process; its images wait for keypoints longer than a test."""
    node = TrackerNode(
        context=graph.context, cli_args=['--ros-args', '-p', 'keypoints_wait:=10.0']
    )
    graph.executor.add_node(node)
    node.trigger_configure()
    node.trigger_activate()
    yield node
    node.shut_down()
    graph.executor.remove_node(node)
    node.destroy_node()


def test_images_of_a_best_effort_camera_arrive(graph, node):
    best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    camera = graph.node.create_publisher(Image, 'image', best_effort)
    tracks = graph.collect(Keypoints, 'tracks')

    def tracked():
        camera.publish(image_message(np.zeros((32, 48), np.uint8)))
        return graph.spin(lambda: tracks, 0.1)

    assert graph.spin(tracked, 10), 'no tracks'


def test_images_that_wait_for_keypoints_at_deactivation_count_as_dropped(graph, node):
    camera = graph.node.create_publisher(Image, 'image', RELIABLE)
    graph.node.create_publisher(Keypoints, 'keypoints', RELIABLE)
    counters = node._cameras[0].counters
    graph.wait(lambda: node._cameras[0].has_detector, 'the node to see the detector')

    def waits():
        camera.publish(image_message(np.zeros((32, 48), np.uint8)))
        graph.spin(lambda: False, 0.05)
        return counters.report().counts['pending'] > 2

    graph.wait(waits, 'images')
    node.trigger_deactivate()
    counts = counters.report().counts
    assert counts['pending'] == 0
    assert counts['dropped'] > 2
    assert counts['received'] == counts['published'] + counts['dropped']


def test_missing_keypoints_are_told_with_the_topic(graph, photo):
    rig = TrackerRig(graph)
    process = graph.start(*TRACKER)
    diagnostics = graph.collect(DiagnosticArray, '/diagnostics')

    def messages():
        return [s.message for m in diagnostics[-1:] for s in m.status]

    def told():
        rig.send(photo)
        return any('no keypoints: /keypoints has no publisher' in text for text in messages())

    graph.wait(told, 'the warning')
    text = process.log.read_text()
    assert text.count('no keypoints: /keypoints has no publisher: start the superpoint node') == 1
    rig.add_detector()
    graph.wait(lambda: not told(), 'the end of the warning')


def test_keypoints_that_do_not_arrive_are_told(graph, node, monkeypatch):
    monkeypatch.setattr(camera_module, 'SILENCE', 0.3)
    camera = graph.node.create_publisher(Image, 'image', RELIABLE)
    detector = graph.node.create_publisher(Keypoints, 'keypoints', RELIABLE)

    def warning(keypoints=None):
        camera.publish(image_message(np.zeros((32, 48), np.uint8)))
        if keypoints is not None:
            detector.publish(keypoints)
        graph.spin(lambda: False, 0.05)
        node.check_inputs()
        return node._cameras[0].input_warning or ''

    told = 'no keypoints: /keypoints has a publisher, but none arrive'
    graph.wait(lambda: warning().startswith(told), 'the warning')
    graph.wait(lambda: told not in warning(Keypoints()), 'its end')
