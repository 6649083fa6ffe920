"""The files of config/ match the parameters of the nodes."""

import re
from pathlib import Path

import parameter_files
import pytest
import yaml
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import GetParameters

from superpoint_rknn.nodes.common.camera_names import parameter_of
from superpoint_rknn.nodes.superpoint.parameters import PARAMETERS as SUPERPOINT
from superpoint_rknn.nodes.tracker.parameters import PARAMETERS as TRACKER

CONFIG = Path(__file__).resolve().parents[2] / 'config'
NODES = {'superpoint': SUPERPOINT, 'tracker': TRACKER}
TUNED = {
    'mono_30hz.yaml': ('superpoint', 'tracker'),
    'stereo_20hz.yaml': ('superpoint', 'tracker'),
    'matching.yaml': ('superpoint',),
}


def flat(values, prefix=''):
    """{'detector': {'grid': ...}} as {'detector.grid': ...}."""
    result = {}
    for name, value in values.items():
        if isinstance(value, dict):
            result |= flat(value, f'{prefix}{name}.')
        else:
            result[prefix + name] = value
    return result


def sections(path):
    """Parameters of a file, by the node that they are for."""
    content = yaml.safe_load(path.read_text())
    return {node: flat(section['ros__parameters']) for node, section in content.items()}


@pytest.mark.parametrize('path', parameter_files.files(), ids=lambda path: path.name)
def test_generated_files_are_up_to_date(path):
    """If this fails: ./dev run python test/nodes/parameter_files.py"""
    assert path.read_text() == parameter_files.files()[path]


@pytest.mark.parametrize('name', ['superpoint', 'tracker'])
def test_files_of_defaults_are_valid_and_complete(name):
    (values,) = sections(CONFIG / f'{name}.yaml').values()
    checked = {p.name: p.check(values.pop(p.name)) for p in NODES[name]}
    assert repr(checked) == repr({p.name: p.default for p in NODES[name]})  # NaN equals NaN
    assert values == {}


@pytest.mark.parametrize('file', TUNED)
def test_tuned_files_set_existing_parameters(file):
    tuned = sections(CONFIG / file)
    assert list(tuned) == [f'/**/{node}' for node in TUNED[file]]
    for node, values in tuned.items():
        table = NODES[node.rpartition('/')[2]]
        own = {parameter_of(camera, 'mask') for camera in values.get('cameras', [])}
        assert values.keys() <= {p.name for p in table} | own


def reasons(path):
    """Comments of the lines that set parameters, without [unit], in order."""
    lines = re.findall(r'^ +\w+: *[^#\s][^#]*(#.*)?$', path.read_text(), re.MULTILINE)
    return [re.sub(r'# *(\[\w+\])? *', '', comment) for comment in lines]


@pytest.mark.parametrize('file', TUNED)
def test_tuned_files_give_a_reason_for_each_changed_value(file):
    comments = iter(reasons(CONFIG / file))
    for node, values in sections(CONFIG / file).items():
        parameters = {p.name: p for p in NODES[node.rpartition('/')[2]]}
        for name, value in values.items():
            reason = next(comments)
            parameter = parameters[name]
            assert reason or parameter.check(value) == parameter.default, name
    assert list(comments) == []


@pytest.mark.parametrize(('file', 'node'), [(f, n) for f in TUNED for n in TUNED[f]])
def test_the_nodes_apply_tuned_files(graph, file, node):
    module = f'superpoint_rknn.nodes.{node}.node'
    path = CONFIG / file
    graph.start('-m', module, '--ros-args', '--params-file', str(path), '-r', '__ns:=/robot')

    def state():
        name = f'/robot/{node}/get_state'
        return graph.call(GetState, name, GetState.Request()).current_state.id

    graph.wait(lambda: state() == State.PRIMARY_STATE_ACTIVE, f'{node} to be active')
    expected = sections(path)[f'/**/{node}']
    request = GetParameters.Request(names=list(expected))
    response = graph.call(GetParameters, f'/robot/{node}/get_parameters', request).values
    for (name, value), result in zip(expected.items(), response, strict=True):
        fields = ('bool', 'integer', 'double', 'string', 'byte_array', 'bool_array')
        field = (*fields, 'integer_array', 'double_array', 'string_array')[result.type - 1]
        actual = getattr(result, f'{field}_value')
        assert (list(actual) if isinstance(value, list) else actual) == value, name
