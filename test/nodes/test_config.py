"""The files of config/ match the parameters, topics and diagnostics of the nodes."""

import json
import re
import subprocess
from pathlib import Path

import parameter_files
import pytest
import yaml
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import GetParameters
from tracker_rig import TrackerRig

from superpoint_rknn.nodes.common.camera_names import parameter_of
from superpoint_rknn.nodes.superpoint.parameters import PARAMETERS as SUPERPOINT
from superpoint_rknn.nodes.tracker.parameters import PARAMETERS as TRACKER

CONFIG = Path(__file__).resolve().parents[2] / 'config'
NODES = {'superpoint': SUPERPOINT, 'tracker': TRACKER}
TUNED = ('mono_30hz.yaml', 'stereo_20hz.yaml')
# Topics of vio.launch.py without arguments, and their types.
GRAPH = {
    '/image': 'sensor_msgs/msg/Image',
    '/overlay': 'sensor_msgs/msg/Image',
    '/keypoints_overlay': 'sensor_msgs/msg/Image',
    '/diagnostics': 'diagnostic_msgs/msg/DiagnosticArray',
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
    assert list(tuned) == ['/**/superpoint', '/**/tracker']
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


@pytest.mark.parametrize('file', TUNED)
@pytest.mark.parametrize('node', NODES)
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


def displays():
    content = yaml.safe_load((CONFIG / 'superpoint.rviz').read_text())
    return {d['Name']: d for d in content['Visualization Manager']['Displays']}


def test_rviz_shows_existing_topics_with_compatible_qos():
    shown = displays()
    for display in shown.values():
        assert display['Class'] == 'rviz_default_plugins/Image'
        assert GRAPH[display['Topic']['Value']] == 'sensor_msgs/msg/Image'
    policies = {d['Topic']['Value']: d['Topic']['Reliability Policy'] for d in shown.values()}
    assert policies['/image'] == 'Best Effort'
    assert policies['/overlay'] == policies['/keypoints_overlay'] == 'Reliable'


def panels(layout):
    """Panels of a layout, which is a binary tree."""
    if isinstance(layout, str):
        return [layout]
    assert layout['direction'] in ('row', 'column')
    return [*panels(layout['first']), *panels(layout['second'])]


def test_foxglove_shows_existing_topics():
    content = json.loads((CONFIG / 'foxglove_layout.json').read_text())
    configs = content['configById']
    assert sorted(panels(content['layout'])) == sorted(configs)
    for panel, config in configs.items():
        kind = panel.partition('!')[0]
        if kind == 'Image':
            assert GRAPH[config['imageMode']['imageTopic']] == 'sensor_msgs/msg/Image'
        elif kind == 'DiagnosticSummary':
            assert GRAPH[config['topicToRender']] == 'diagnostic_msgs/msg/DiagnosticArray'
        else:
            assert kind == 'Plot'


def test_documented_command_renames_the_topics_of_foxglove():
    """docs/tracking.md has a sed expression for a camera in a namespace."""
    document = (CONFIG.parent / 'docs' / 'tracking.md').read_text()
    (expression,) = re.findall(r"^sed -E '(.*)'$", document, re.MULTILINE)
    layout = CONFIG / 'foxglove_layout.json'
    renamed = subprocess.run(
        ['sed', '-E', expression, layout], capture_output=True, text=True, check=True
    ).stdout
    json.loads(renamed)
    names = r'"(/\w*)"|name==\\"(/\w+):'  # topics, and nodes in /diagnostics
    before = [a or b for a, b in re.findall(names, layout.read_text())]
    after = [a or b for a, b in re.findall(names.replace(r'\w', r'[\w/]'), renamed)]
    assert after == [n if n == '/diagnostics' else f'/cam0{n}' for n in before]


def plotted(node):
    """Keys of a node's diagnostics that the layout plots."""
    content = json.loads((CONFIG / 'foxglove_layout.json').read_text())
    paths = [p['value'] for c in content['configById'].values() for p in c.get('paths', [])]
    pattern = re.compile(
        r'/diagnostics\.status\[:\]\{name=="/(\w+): camera"\}\.values\[:\]\{key=="(\w+)"\}\.value'
    )
    found = [pattern.fullmatch(path) for path in paths]
    assert all(found), paths
    return {match[2] for match in found if match[1] == node}


def test_diagnostics_of_superpoint_have_the_values_that_foxglove_plots(rig, photo):
    rig.start()
    rig.send_and_wait(photo)
    rig.graph.wait(lambda: plotted('superpoint') <= rig.raw_counts().keys(), 'the plotted values')
    assert rig.diagnostics[-1].status[0].name == '/superpoint: camera'


def test_diagnostics_of_the_tracker_have_the_values_that_foxglove_plots(graph, photo):
    rig = TrackerRig(graph)
    rig.start(photo)
    graph.wait(
        lambda: rig.diagnostics and plotted('tracker') <= rig.counts().keys(),
        'the plotted values',
    )
    assert rig.diagnostics[-1].status[0].name == '/tracker: camera'
