"""Library, nodes and `superpoint_rknn extract` have equal defaults."""

from dataclasses import fields

import pytest
from ros_graph import Graph

from superpoint_rknn.extractor import Settings
from superpoint_rknn.features.keypoints import DetectorSettings
from superpoint_rknn.nodes.superpoint.node import SuperPointNode
from superpoint_rknn.nodes.tracker.node import TrackerNode
from superpoint_rknn.tracking.tracker import TrackSettings


@pytest.fixture(scope='module')
def nodes(tmp_path_factory):
    """Both nodes with declared parameters, all at their defaults."""
    graph = Graph(tmp_path_factory.mktemp('graph'))
    nodes = [SuperPointNode(context=graph.context), TrackerNode(context=graph.context)]
    for node in nodes:
        node.values.read()
    yield nodes
    for node in nodes:
        node.destroy_node()
    graph.close()


def declared(node, names):
    values = {name: node.get_parameter(name).value for name in names}
    return {n: v if isinstance(v, (str, int, float)) else tuple(v) for n, v in values.items()}


def defaults(settings, prefix=''):
    return {f'{prefix}{field.name}': field.default for field in fields(settings)}


def test_parameters_of_the_superpoint_node_have_the_librarys_defaults(nodes):
    expected = defaults(DetectorSettings, 'detector.')
    assert declared(nodes[0], expected) == expected
    assert nodes[0].values.settings == {'': Settings()}


def test_parameters_of_the_tracker_have_the_librarys_defaults(nodes):
    expected = defaults(TrackSettings)
    assert declared(nodes[1], expected) == expected
    assert nodes[1].values.settings == TrackSettings()


def test_extract_has_the_defaults_of_the_nodes(nodes):
    pytest.importorskip('rosbags', reason='features are written to bags')
    from superpoint_rknn.extract.parameters import read_parameters, settings_of

    values = read_parameters([], [])
    assert settings_of(values, '/image') == (Settings(), TrackSettings())
    superpoint, tracker = nodes
    of_nodes = {}
    for name in values:
        of_nodes |= declared(superpoint if superpoint.has_parameter(name) else tracker, [name])
    differing = {n: (v, of_nodes[n]) for n, v in values.items() if repr(v) != repr(of_nodes[n])}
    assert differing == {}
