"""Parameters, lifecycle and exit of the superpoint node, in a real graph on the CPU runtime."""

import itertools
import time

import cv2
import numpy as np
import pytest
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import DescribeParameters, SetParameters
from ros_graph import RELIABLE
from sensor_msgs.msg import Image

from superpoint_rknn.runtimes.model_files import default_model


def set_parameter(rig, name, **value):
    kind = {
        'double_value': ParameterType.PARAMETER_DOUBLE,
        'integer_value': ParameterType.PARAMETER_INTEGER,
        'integer_array_value': ParameterType.PARAMETER_INTEGER_ARRAY,
        'string_value': ParameterType.PARAMETER_STRING,
    }[next(iter(value))]
    parameter = Parameter(name=name, value=ParameterValue(type=kind, **value))
    request = SetParameters.Request(parameters=[parameter])
    return rig.graph.call(SetParameters, 'superpoint/set_parameters', request).results[0]


def test_parameters_change_at_runtime_or_are_rejected(rig, photo):
    rig.start()
    _, before = rig.send_and_wait(photo)
    assert set_parameter(rig, 'detector.max_keypoints', integer_value=7).successful
    _, after = rig.send_and_wait(photo)
    assert list(after.x) == list(before.x)[:7]

    rejected = set_parameter(rig, 'detector.threshold', double_value=1.5)
    assert not rejected.successful
    assert 'detector.threshold' in rejected.reason
    rejected = set_parameter(rig, 'resize', string_value='squeeze')
    assert not rejected.successful
    assert "'squeeze', expected one of stretch, crop, letterbox" in rejected.reason
    rejected = set_parameter(rig, 'model', string_value='other.onnx')
    assert not rejected.successful
    _, last = rig.send_and_wait(photo)
    assert len(last.x) == 7


def test_there_are_no_keypoints_where_the_mask_is_zero(rig, photo, tmp_path):
    mask = np.zeros(photo.shape, np.uint8)
    mask[:, 320:] = 255
    cv2.imwrite(str(tmp_path / 'mask.png'), mask)
    rig.start(mask=str(tmp_path / 'mask.png'))
    _, keypoints = rig.send_and_wait(photo)
    assert len(keypoints.x) > 50
    assert min(keypoints.x) >= 319.5
    rig.send(photo[:200].copy())
    rig.wait_counts(published=1, failed=1)


def test_every_parameter_is_described(rig):
    from superpoint_rknn.nodes.superpoint.parameters import PARAMETERS

    rig.start()
    names = [p.name for p in PARAMETERS]
    response = rig.graph.call(
        DescribeParameters,
        'superpoint/describe_parameters',
        DescribeParameters.Request(names=names),
    )
    assert [d.name for d in response.descriptors] == names
    assert all(d.description for d in response.descriptors)


def change_state(graph, transition):
    request = ChangeState.Request(transition=Transition(id=transition))
    return graph.call(ChangeState, 'superpoint/change_state', request).success


def state(graph):
    return graph.call(GetState, 'superpoint/get_state', GetState.Request()).current_state.id


def test_lifecycle_transitions(rig, photo):
    graph = rig.graph
    graph.start(autostart='false')
    assert state(graph) == State.PRIMARY_STATE_UNCONFIGURED
    for _ in range(2):
        assert change_state(graph, Transition.TRANSITION_CONFIGURE)
        graph.wait(lambda: graph.node.count_publishers('keypoints'), 'the publisher')
        assert rig.camera.get_subscription_count() == 0
        assert change_state(graph, Transition.TRANSITION_ACTIVATE)
        rig.wait_ready()
        rig.send_and_wait(photo)
        assert change_state(graph, Transition.TRANSITION_DEACTIVATE)
        graph.wait(
            lambda: not rig.camera.get_subscription_count(), 'the subscription to be destroyed'
        )
        assert change_state(graph, Transition.TRANSITION_CLEANUP)
        graph.wait(
            lambda: not graph.node.count_publishers('keypoints'), 'the publisher to be destroyed'
        )
    assert state(graph) == State.PRIMARY_STATE_UNCONFIGURED


def test_configure_can_be_retried(rig, photo, tmp_path):
    graph = rig.graph
    model = tmp_path / 'late.onnx'
    process = graph.start(model=str(model))
    assert state(graph) == State.PRIMARY_STATE_UNCONFIGURED
    assert f'not configured: {model}: no such file' in process.log.read_text()
    assert not change_state(graph, Transition.TRANSITION_CONFIGURE)
    assert state(graph) == State.PRIMARY_STATE_UNCONFIGURED
    model.write_bytes(default_model(None).read_bytes())
    model.with_suffix('.json').write_bytes(default_model(None).with_suffix('.json').read_bytes())
    assert change_state(graph, Transition.TRANSITION_CONFIGURE)
    assert change_state(graph, Transition.TRANSITION_ACTIVATE)
    rig.wait_ready()
    rig.send_and_wait(photo)


@pytest.mark.parametrize(
    ('name', 'value', 'reason'),
    [
        ('runtime', 'tpu', "runtime: 'tpu', expected one of auto, librknn, rknnlite, onnx"),
        ('detector.threshold', '7.0', 'detector.threshold'),
        ('detector.threshold', 'high', 'detector.threshold'),
        ('detector.grid', '[0,3]', 'grid'),
        ('detector.grid', '[1000000,10000000]', 'grid'),
        ('descriptors.rate', '1e-12', 'descriptors.rate: 1e-12, expected 0 or at least'),
    ],
)
def test_an_invalid_parameter_leaves_the_node_unconfigured(graph, name, value, reason):
    process = graph.start(**{name: value})
    graph.wait(lambda: 'not configured' in process.log.read_text(), 'the error')
    assert reason in process.log.read_text()
    assert graph.interrupt(process)[0] == 0


def test_parameters_can_be_changed_after_a_second_configure(rig, photo):
    graph = rig.graph
    rig.start(**{'descriptors.rate': 50.0})
    for transition in (
        Transition.TRANSITION_DEACTIVATE,
        Transition.TRANSITION_CLEANUP,
        Transition.TRANSITION_CONFIGURE,
        Transition.TRANSITION_ACTIVATE,
    ):
        assert change_state(graph, transition)
    rig.wait_ready()
    assert set_parameter(rig, 'descriptors.rate', double_value=0.0).successful
    assert set_parameter(rig, 'detector.max_keypoints', integer_value=9).successful
    rig.descriptors.clear()
    for _ in range(3):
        _, keypoints = rig.send_and_wait(photo)
    assert len(keypoints.x) == 9
    rig.wait_counts(published=3, descriptors=0)
    assert rig.descriptors == []


def test_frequent_parameter_changes_do_not_delay_descriptors(rig, photo):
    rig.start(**{'descriptors.rate': 2.0})
    end = time.monotonic() + 10  # enough for 20 messages at 2 Hz
    number = itertools.cycle(range(100, 200))
    while len(rig.descriptors) < 2 and time.monotonic() < end:
        value = next(number)
        assert set_parameter(rig, 'detector.max_keypoints', integer_value=value).successful
        rig.send_and_wait(photo)
    assert len(rig.descriptors) >= 2


@pytest.mark.parametrize(
    ('topic', 'policy'),
    [('/keypoints', 'publisher.reliability'), ('/image', 'subscription.reliability')],
)
def test_an_invalid_qos_override_leaves_the_node_unconfigured(graph, topic, policy):
    process = graph.start(**{f'qos_overrides.{topic}.{policy}': 'bogus'})
    graph.wait(lambda: 'not configured' in process.log.read_text(), 'the error')
    assert state(graph) == State.PRIMARY_STATE_UNCONFIGURED
    assert not change_state(graph, Transition.TRANSITION_CONFIGURE)
    assert 'has not returned' not in process.log.read_text()
    assert graph.interrupt(process)[0] == 0


def test_deactivation_discards_pending_descriptors(rig, photo):
    graph = rig.graph
    rig.start(**{'descriptors.rate': 0.02})
    rig.send_and_wait(photo)
    rig.descriptors.clear()
    assert change_state(graph, Transition.TRANSITION_DEACTIVATE)
    assert change_state(graph, Transition.TRANSITION_ACTIVATE)
    assert set_parameter(rig, 'descriptors.rate', double_value=50.0).successful
    rig.wait_counts(descriptors=0)
    assert rig.descriptors == []


def test_the_lost_count_is_unknown_with_two_publishers(rig, photo):
    rig.start()
    other = rig.graph.node.create_publisher(Image, 'image', RELIABLE)
    rig.graph.wait(lambda: other.get_subscription_count(), 'the second publisher to be connected')
    for _ in range(3):
        rig.send_and_wait(photo)
    for publisher in (rig.camera, other) * 3:
        rig.camera = publisher
        rig.send_and_wait(photo)
    rig.graph.wait(lambda: rig.counts()['received'] == 9, 'diagnostics')
    assert rig.counts()['lost'] == 'unknown'


def test_ctrl_c_after_a_shutdown_transition_exits_cleanly(graph):
    process = graph.start()
    graph.wait(lambda: state(graph) == State.PRIMARY_STATE_ACTIVE, 'the node to be active')
    assert change_state(graph, Transition.TRANSITION_ACTIVE_SHUTDOWN)
    code, _ = graph.interrupt(process)
    assert code == 0
    assert 'Traceback' not in process.log.read_text()


def test_ctrl_c_during_an_inference_exits_cleanly(rig, photo):
    process = rig.start()
    rig.send_and_wait(photo)
    rig.send(photo)
    code, seconds = rig.graph.interrupt(process)
    assert code == 0
    assert seconds < 2.0
    assert 'Traceback' not in process.log.read_text()


@pytest.mark.parametrize('given', ['[0, 4095]', 'auto'])
def test_input_range_is_two_numbers_or_a_text(rig, photo, given):
    """Given at the start, or set later as the other kind."""
    process = rig.start(input_range=given)
    words = photo.astype('<u2') * 16
    fields = {'encoding': 'mono16', 'step': 2 * photo.shape[1]}
    _, keypoints = rig.send_and_wait(words, **fields)
    score = np.mean(keypoints.score)
    assert '16-bit image' not in process.log.read_text()
    assert set_parameter(rig, 'input_range', integer_array_value=[0, 65535]).successful
    for _ in range(3):
        _, keypoints = rig.send_and_wait(words, **fields)
    assert np.mean(keypoints.score) < score / 2
    assert process.log.read_text().count('16-bit image with values of') == 1
    for text in ('full', ''):
        rejected = set_parameter(rig, 'input_range', string_value=text)
        assert 'expected auto or two whole numbers, 0 to 65535 each' in rejected.reason
    assert set_parameter(rig, 'input_range', string_value='auto').successful
    _, keypoints = rig.send_and_wait(words, **fields)
    assert np.mean(keypoints.score) > 0.8 * score
    assert set_parameter(rig, 'input_range', integer_array_value=[0, 0]).successful
    _, keypoints = rig.send_and_wait(words, **fields)
    assert np.mean(keypoints.score) > 0.8 * score
    assert 'input_range is taken as [0, 4095]' in process.log.read_text()
