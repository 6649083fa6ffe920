"""Values that nodes get from YAML: converted, or refused and then corrected."""

from array import array

import cv2
import numpy as np
import pytest
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from superpoint_rknn.nodes.superpoint.node import SuperPointNode
from superpoint_rknn.nodes.tracker.node import TrackerNode

SUCCESS = TransitionCallbackReturn.SUCCESS


@pytest.fixture
def create(graph):
    """Function that creates a node with arguments NAME:=VALUE, where VALUE is YAML."""
    nodes = []

    def run(kind, *arguments):
        given = [text for argument in arguments for text in ('-p', argument)]
        nodes.append(kind(context=graph.context, cli_args=['--ros-args', *given]))
        return nodes[-1]

    yield run
    for node in nodes:
        node.shut_down()
        node.destroy_node()


def change(node, name, value):
    """Set a parameter; return the reason if it is refused, else an empty text."""
    (result,) = node.set_parameters([Parameter(name, value=value)])
    assert result.successful == (not result.reason)
    return result.reason


@pytest.mark.parametrize(
    ('argument', 'value'),
    [
        ('feature.rate:=5', 5.0),
        ('feature.format:=off', 'off'),
        ('feature.format:=no', 'off'),
        ('image_transport:=raw', 'raw'),
        ('stereo:=off', False),
        ("stereo:='no'", False),
        ('input_range:=[0, 4095]', [0, 4095]),
        ('input_range:=auto', 'auto'),
        ('input_range:=[]', [0, 0]),
        ('cameras:=[]', ['']),
        ('cameras:=~', ['']),
        ('feature.format:=null', 'off'),
        ('cameras:=[cam0]', ['cam0']),
        ("cameras:=['y', 'off']", ['y', 'off']),
    ],
)
def test_valid_values_get_the_type_of_the_parameter(create, argument, value):
    tracker = create(TrackerNode, argument)
    assert tracker.trigger_configure() == SUCCESS
    name = argument.partition(':=')[0]
    held = tracker.get_parameter(name).value
    held = held.tolist() if isinstance(held, array) else held
    assert (held, type(held)) == (value, type(value))
    assert tracker.values[name] == (tuple(value) if isinstance(value, list) else value)


QUOTES = '; put it in quotes, YAML reads it as something else'


@pytest.mark.parametrize(
    ('argument', 'reason', 'correct'),
    [
        ('feature.rate:=fast', "feature.rate: 'fast', expected 0 to 1000", 10),
        ('feature.rate:=2000.0', 'feature.rate: 2000.0, expected 0 to 1000', 10.0),
        ('feature.rate:=-1', 'feature.rate: -1, expected 0 to 1000', 0),
        ("feature.rate:='5'", "feature.rate: '5', expected 0 to 1000; remove the quotes", 5),
        ('max_tracks:=150.0', 'max_tracks: 150.0, expected a whole number, 1 to 2000', 150),
        ('max_tracks:=0', 'max_tracks: 0, expected a whole number, 1 to 2000', 1),
        (
            'feature.format:=vins',
            "feature.format: 'vins', expected one of off, vins_fusion, vins_mono",
            'vins_mono',
        ),
        ('feature.format:=1', 'feature.format: 1, expected one of off, vins_fusion', 'off'),
        ('stereo:=2', 'stereo: 2, expected true or false', False),
        ('autostart:=5', 'autostart: 5, expected true or false', False),
        (
            'cameras:=cam0',
            "cameras: 'cam0', expected a list of texts; a single one also in brackets: ['cam0']",
            ['cam0'],
        ),
        (
            'cameras:=[y, off]',
            f'cameras: [True, False], expected a list of texts{QUOTES}',
            ['y', 'off'],
        ),
        ('cameras:=[1]', 'cameras: [1], expected a list of texts', ['cam1']),
        ("cameras:=['1']", "cameras: '1' is not a valid name: expected letters", ['cam1']),
        (
            'input_range:=[0.0, 4095.0]',
            'input_range: [0.0, 4095.0], expected auto or two whole numbers, 0 to 65535 each',
            [0, 4095],
        ),
    ],
)
def test_a_refused_value_is_logged_and_can_be_corrected(create, capfd, argument, reason, correct):
    tracker = create(TrackerNode, argument)
    assert tracker.trigger_configure() != SUCCESS
    assert f'not configured: {reason}' in capfd.readouterr().err
    name = argument.partition(':=')[0]
    assert change(tracker, name, correct) == ''
    assert tracker.trigger_configure() == SUCCESS
    value = tracker.values[name]
    assert (list(value) if isinstance(value, tuple) else value) == correct


def test_several_refused_values_are_corrected_one_after_the_other(create):
    tracker = create(TrackerNode, 'feature.rate:=fast', 'cameras:=x', 'max_tracks:=0')
    assert change(tracker, 'max_tracks', 0) == 'max_tracks: 0, expected a whole number, 1 to 2000'
    for name, value in (('max_tracks', 9), ('cameras', ['a']), ('feature.rate', 5)):
        assert tracker.trigger_configure() != SUCCESS
        assert change(tracker, name, value) == ''
    assert tracker.trigger_configure() == SUCCESS


def test_read_only_parameters_can_be_set_unless_the_node_is_configured(create):
    tracker = create(TrackerNode)
    assert change(tracker, 'image_transport', 'compressed') == ''
    assert tracker.trigger_configure() == SUCCESS
    assert change(tracker, 'image_transport', 'raw') == (
        'image_transport: read-only while the node is configured; deactivate it and clean it up '
        'first'
    )
    assert tracker.values['image_transport'] == 'compressed'
    assert tracker.trigger_cleanup() == SUCCESS
    assert change(tracker, 'image_transport', 'raw') == ''
    assert tracker.values['image_transport'] == 'raw'


def test_parameters_cannot_be_deleted(create):
    tracker = create(TrackerNode, 'feature.rate:=7.0')
    reason = 'feature.rate: a parameter of this node cannot be deleted'
    assert change(tracker, 'feature.rate', None) == reason
    assert tracker.get_parameter('feature.rate').value == 7.0


@pytest.mark.parametrize('mask', ['~', 'null', "''"])
def test_no_mask(create, mask):
    node = create(SuperPointNode, f'mask:={mask}', 'cameras:=[cam0]', 'cam0.mask:=~')
    assert node.trigger_configure() == SUCCESS
    assert node.values['mask'] == node.values['cam0.mask'] == ''


def test_a_wrong_path_is_logged_whole_and_can_be_corrected(create, tmp_path, capfd, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.chdir(tmp_path)
    cv2.imwrite(str(tmp_path / 'mask.png'), np.ones((4, 4), np.uint8))
    node = create(SuperPointNode, 'mask:=masks/left.png', 'model:=~/none.onnx')
    for reason, name, value in (
        (f'mask: {tmp_path}/masks/left.png: No such file or directory', 'mask', '~/mask.png'),
        (f'{tmp_path}/none.onnx: no such file', 'model', 'superpoint_small'),
    ):
        assert node.trigger_configure() != SUCCESS
        assert f'not configured: {reason}' in capfd.readouterr().err
        assert change(node, name, value) == ''
    assert node.trigger_configure() == SUCCESS
