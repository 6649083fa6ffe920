"""Arguments of the launch files, with a stand-in for `launch`; needs no ROS."""

import os
import runpy
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
COMMON = 'superpoint_rknn.nodes.common.launch_arguments'
FILES = ('superpoint.launch.py', 'vio.launch.py')
MODULES = (
    'launch',
    'launch.actions',
    'launch.event_handlers',
    'launch.launch_description_sources',
    'launch.logging',
    'launch.substitutions',
    'launch_ros',
    'launch_ros.actions',
    'launch_ros.parameter_descriptions',
    'launch_ros.substitutions',
)


class Recorded:
    """Stand-in for any class of launch; keeps the arguments of the constructor."""

    def __init__(self, *args, **kwargs):
        self.args, self.kwargs = args, kwargs


class Context:
    def __init__(self):
        self.launch_configurations = {}

    def text(self, value):
        """Text of a default value: a text, or a path in config/."""
        if isinstance(value, str):
            return value
        if type(value).__name__ == 'EnvironmentVariable':
            return self.text(value.kwargs['default_value'])
        return os.path.join(REPOSITORY, *value.args[0][1:])


@pytest.fixture
def warnings(monkeypatch):
    """Install the stand-in for `launch`; return the list of the warnings that are logged."""
    logged = []
    classes = {'get_logger': lambda name: type('Logger', (), {'warning': logged.append})}

    def attribute(name):
        return classes.setdefault(name, type(name, (Recorded,), {}))

    for name in MODULES:
        module = ModuleType(name)
        module.__getattr__ = attribute
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, COMMON, raising=False)
    monkeypatch.setitem(sys.modules, COMMON, import_module(COMMON))
    return logged


@pytest.fixture
def declared(warnings):
    """Function that returns the declarations of a launch file, by name, and its function."""

    def run(file):
        path = REPOSITORY / 'launch' / file
        (entities,) = runpy.run_path(str(path))['generate_launch_description']().args
        return {e.args[0]: e.kwargs for e in entities[:-1]}, entities[-1].kwargs['function']

    return run


@pytest.fixture
def actions(declared):
    """Function that returns the actions of a launch file by class name, for given arguments."""

    def flattened(items):
        for item in items:
            yield item
            if type(item).__name__ == 'GroupAction':
                yield from flattened(item.args[0])

    def run(file, **given):
        declarations, function = declared(file)
        context = Context()
        context.launch_configurations.update(given)
        for name, properties in declarations.items():
            value = context.text(properties['default_value'])
            value = context.launch_configurations.setdefault(name, value)
            assert properties['choices'] is None or value in properties['choices']
        found = {}
        for item in flattened(function(context)):
            found.setdefault(type(item).__name__, []).append(item)
        return found

    return run


def executables(found):
    return [node.kwargs['executable'] for node in found['Node']]


def given_parameters(node):
    """Parameters beside those of files."""
    values = {}
    for each in node.kwargs['parameters']:
        values |= each if isinstance(each, dict) else {}
    return {k: v.args[0] if isinstance(v, Recorded) else v for k, v in values.items()}


def test_the_launch_files_have_the_same_arguments(declared):
    superpoint, vio = (declared(file)[0] for file in FILES)
    assert superpoint.keys() < vio.keys()
    different = {
        name for name in superpoint if superpoint[name]['choices'] != vio[name]['choices']
    }
    assert different == set()
    for name in ('autostart', 'composed', 'use_sim_time', 'respawn'):
        assert {'true', 'false', 'True', 'False'} <= set(superpoint[name]['choices'])
    for name, choice in (('runtime', 'onnx'), ('log_level', 'debug')):
        assert choice in superpoint[name]['choices']
    assert 'vins_mono' in vio['feature_format']['choices']


@pytest.mark.parametrize('word', ['true', 'True'])
def test_composed_starts_one_process(actions, word):
    for file in FILES:
        found = actions(file, composed=word)
        assert executables(found) == ['front_end']
        assert found['Node'][0].kwargs['name'] is None  # it would rename both nodes


@pytest.mark.parametrize('word', ['false', 'False'])
def test_not_composed_starts_a_process_for_each_node(actions, word):
    assert executables(actions(FILES[0], composed=word)) == ['superpoint_node']
    assert executables(actions(FILES[1], composed=word)) == ['superpoint_node', 'tracker_node']


@pytest.mark.parametrize('file', FILES)
@pytest.mark.parametrize('composed', ['true', 'false'])
def test_arguments_reach_every_node_with_their_type(actions, file, composed):
    given = {'autostart': 'False', 'use_sim_time': 'true', 'cameras': "[cam0, 'cam1']"}
    given |= {'model': 'superpoint_small', 'runtime': 'onnx', 'respawn': 'true'}
    found = actions(file, composed=composed, log_level='debug', namespace='robot', **given)
    for node in found['Node']:
        assert given_parameters(node) == {
            'autostart': False,
            'use_sim_time': True,
            'cameras': ['cam0', 'cam1'],
            'model': 'superpoint_small',
            'runtime': 'onnx',
        }
        assert node.kwargs['respawn'] is True
        assert node.kwargs['namespace'] == 'robot'
        assert node.kwargs['arguments'] == ['--ros-args', '--log-level', 'debug']


@pytest.mark.parametrize('file', FILES)
def test_without_arguments_the_parameter_file_decides(actions, file):
    for node in actions(file)['Node']:
        assert given_parameters(node) == {}
        (path,) = node.kwargs['parameters']
        assert Path(path).parent == REPOSITORY / 'config'
        assert (node.kwargs['respawn'], node.kwargs['arguments']) == (False, [])


def test_feature_arguments_reach_the_tracker_alone(actions):
    given = {'feature_format': 'off', 'feature_rate': '10'}
    superpoint, tracker = actions('vio.launch.py', **given)['Node']
    assert given_parameters(superpoint) == {}
    assert given_parameters(tracker) == {'feature.format': 'off', 'feature.rate': 10.0}
    (both,) = actions('vio.launch.py', composed='true', **given)['Node']
    assert given_parameters(both) == {'feature.format': 'off', 'feature.rate': 10.0}


@pytest.mark.parametrize(
    ('namespace', 'camera', 'expected'),
    [
        ('', '', ''),
        ('', 'cam0', 'cam0'),
        ('robot', '', 'robot'),
        ('/robot/', '/cam0/', '/robot/cam0'),
    ],
)
def test_namespace_of_the_nodes(actions, namespace, camera, expected):
    (node,) = actions(FILES[0], namespace=namespace, camera=camera)['Node']
    assert node.kwargs['namespace'] == expected


@pytest.mark.parametrize(
    ('cameras', 'image', 'expected'),
    [
        ('', 'image_raw', [('image', 'image_raw')]),
        ('cam0', '/cam0/raw', [('cam0/image', '/cam0/raw')]),
        ('a, b', 'raw', [('a/image', 'a/raw'), ('b/image', 'b/raw')]),
    ],
)
def test_image_is_the_topic_of_each_camera(actions, cameras, image, expected):
    for file in FILES:
        for node in actions(file, cameras=cameras, image=image)['Node']:
            assert node.kwargs['remappings'] == expected


def test_topics_of_each_camera_are_renamed(actions):
    given = {'cameras': 'a,b', 'camera_info': 'info'}
    topics = [each.args for each in actions('vio.launch.py', **given)['SetRemap']]
    for camera in 'ab':
        assert (f'{camera}/camera_info', f'{camera}/info') in topics


@pytest.mark.parametrize(
    ('given', 'shown'),
    [
        ({}, {'/image', '/overlay', '/tracks_overlay'}),
        (
            {'namespace': 'robot', 'camera': '/cam0/'},
            {'/robot/cam0/image', '/robot/cam0/overlay', '/robot/cam0/tracks_overlay'},
        ),
        ({'camera': 'cam0', 'image': '/raw'}, {'/raw', '/cam0/overlay', '/cam0/tracks_overlay'}),
        (
            {'cameras': '[a, b]', 'image': 'raw'},
            {
                f'/{name}/{topic}'
                for name in 'ab'
                for topic in ('raw', 'overlay', 'tracks_overlay')
            },
        ),
    ],
)
def test_rviz_shows_the_topics_of_the_cameras(actions, given, shown):
    assert 'rviz2' not in executables(actions('vio.launch.py', **given))
    found = actions('vio.launch.py', rviz='true', **given)
    node = found['Node'][-1]
    assert node.kwargs['executable'] == 'rviz2'
    assert 'namespace' not in node.kwargs  # the topics in the file are absolute
    option, path = node.kwargs['arguments']
    assert option == '-d'
    config = yaml.safe_load(Path(path).read_text())
    displays = config['Visualization Manager']['Displays']
    assert {each['Topic']['Value'] for each in displays} == shown
    found['RegisterEventHandler'][0].args[0].kwargs['on_shutdown'](None, None)
    assert not Path(path).parent.exists()


def test_a_rate_that_is_no_number_is_refused(actions):
    with pytest.raises(ValueError, match=r'^feature_rate:=fast: expected a number$'):
        actions('vio.launch.py', feature_rate='fast')


def test_one_topic_for_several_cameras_is_refused(actions):
    for name in ('image', 'camera_info'):
        with pytest.raises(ValueError, match=f'^{name}:=/x: expected a relative name'):
            actions('vio.launch.py', cameras='a,b', **{name: '/x'})


@pytest.mark.parametrize(
    ('file', 'name'),
    [
        ('superpoint.launch.py', 'params_file'),
        ('vio.launch.py', 'params_file'),
        ('vio.launch.py', 'tracker_params'),
        ('vio.launch.py', 'camera_launch'),
        ('vio.launch.py', 'estimator_launch'),
    ],
)
def test_files_must_exist(actions, tmp_path, monkeypatch, file, name):
    monkeypatch.setenv('HOME', str(tmp_path))
    with pytest.raises(ValueError, match=f'{name}:=~/given: no such file: {tmp_path}/given'):
        actions(file, **{name: '~/given'})
    (tmp_path / 'given').touch()
    actions(file, **{name: '~/given'})


def test_driver_and_estimator_get_the_fastdds_profile_but_no_arguments(actions, tmp_path):
    path = tmp_path / 'driver.launch.py'
    path.touch()
    profile = {'fastdds_profile': 'my.xml'}
    for name in ('camera_launch', 'estimator_launch'):
        groups = actions('vio.launch.py', **{name: str(path)}, **profile)['GroupAction']
        (group,) = (g for g in groups if g.kwargs)
        assert group.kwargs == {'scoped': True, 'forwarding': False}
        *environment, include = group.args[0]
        assert environment[0].args == ('FASTDDS_DEFAULT_PROFILES_FILE', 'my.xml')
        assert type(include).__name__ == 'IncludeLaunchDescription'


@pytest.mark.parametrize(
    ('distro', 'number'), [('humble', 2), ('jazzy', 2), ('kilted', 1), (None, 1)]
)
def test_the_variable_of_fast_dds_2_is_set_where_it_is_used(actions, monkeypatch, distro, number):
    monkeypatch.delenv('ROS_DISTRO', raising=False)
    if distro:
        monkeypatch.setenv('ROS_DISTRO', distro)
    for file in FILES:
        variables = [each.args for each in actions(file)['SetEnvironmentVariable']]
        names = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
        profile = str(REPOSITORY / 'config' / 'fastdds.xml')
        assert variables == [(name, profile) for name in names[:number]]


@pytest.mark.parametrize(
    ('name', 'nearest'),
    [
        ('modle', 'model'),
        ('params', 'params_file'),
        ('param_file', 'params_file'),
        ('config', 'params_file'),  # the former name
        ('sim_time', 'use_sim_time'),
        ('log-level', 'log_level'),
    ],
)
def test_an_undeclared_argument_that_resembles_a_declared_one_is_warned_of(
    actions, warnings, name, nearest
):
    for file in FILES:
        actions(file, **{name: 'x'})
        assert warnings == [
            f"no launch argument '{name}', the nearest is '{nearest}'; the value is ignored"
        ]
        warnings.clear()


def test_arguments_of_including_launch_files_are_not_warned_of(actions, warnings):
    others = ('map', 'slam', 'use_rviz', 'camera_name', 'ros_namespace', 'x', 'world_file')
    actions('vio.launch.py', **dict.fromkeys(others, 'x'))
    assert warnings == []
