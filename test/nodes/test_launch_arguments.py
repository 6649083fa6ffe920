"""Arguments of the launch files, with a stand-in for `launch`; needs no ROS."""

import runpy
import sys
from pathlib import Path
from types import ModuleType

import pytest

from superpoint_rknn.nodes.common.launch_arguments import boolean

LAUNCH = Path(__file__).resolve().parents[2] / 'launch'
MODULES = (
    'launch',
    'launch.actions',
    'launch.conditions',
    'launch.launch_description_sources',
    'launch.substitutions',
    'launch_ros',
    'launch_ros.actions',
    'launch_ros.parameter_descriptions',
    'launch_ros.substitutions',
)
TRUE = ['true', 'True', 'TRUE', '1', 'yes', 'Yes']
FALSE = ['false', 'False', '0', 'no', 'NO']


class Recorded:
    """Stand-in for any class of launch; keeps the arguments of the constructor."""

    def __init__(self, *args, **kwargs):
        self.args, self.kwargs = args, kwargs

    def perform(self, context):
        return context[self.args[0]]


@pytest.fixture
def actions(monkeypatch):
    """Function that returns the actions of a launch file by class name, for given arguments."""
    classes = {}

    def attribute(name):
        return classes.setdefault(name, type(name, (Recorded,), {}))

    for name in MODULES:
        module = ModuleType(name)
        module.__getattr__ = attribute
        monkeypatch.setitem(sys.modules, name, module)

    def flattened(items):
        for item in items:
            yield item
            if type(item).__name__ == 'GroupAction':
                yield from flattened(item.args[0])

    def run(file, **given):
        (entities,) = runpy.run_path(str(LAUNCH / file))['generate_launch_description']().args
        context = {
            e.args[0]: given.pop(e.args[0], e.kwargs['default_value'])
            for e in entities
            if type(e).__name__ == 'DeclareLaunchArgument'
        }
        assert not given, 'arguments that the launch file does not declare'
        found = {}
        for item in flattened(entities[-1].kwargs['function'](context)):
            found.setdefault(type(item).__name__, []).append(item)
        return found

    return run


@pytest.mark.parametrize('word', TRUE)
def test_words_for_true(word):
    assert boolean('composed', word) is True


@pytest.mark.parametrize('word', FALSE)
def test_words_for_false(word):
    assert boolean('composed', word) is False


@pytest.mark.parametrize('word', ['', 'on', 'tru', '2', 'None'])
def test_any_other_word_raises(word):
    with pytest.raises(ValueError, match=f'^composed:={word}: expected one of true, 1, yes, '):
        boolean('composed', word)


def given_parameters(node):
    return [p for p in node.kwargs['parameters'] if isinstance(p, dict)]


@pytest.mark.parametrize(
    ('words', 'executable'), [(TRUE, 'front_end'), (FALSE, 'superpoint_node')]
)
def test_superpoint_launch_starts_composed(actions, words, executable):
    for word in words:
        (node,) = actions('superpoint.launch.py', composed=word)['Node']
        assert node.kwargs['executable'] == executable
        assert (node.kwargs['name'] is None) == (executable == 'front_end')


@pytest.mark.parametrize(('words', 'value'), [(TRUE, True), (FALSE, False)])
def test_autostart_reaches_every_node_as_a_boolean(actions, words, value):
    for word in words:
        (node,) = actions('superpoint.launch.py', autostart=word)['Node']
        assert given_parameters(node) == [{'autostart': value}]
        vio = actions('vio.launch.py', autostart=word)
        (tracker,) = vio['Node']
        assert given_parameters(tracker) == [{'autostart': value}]
        (superpoint,) = vio['IncludeLaunchDescription']
        assert dict(superpoint.kwargs['launch_arguments'])['autostart'] == word
        composed = actions('vio.launch.py', autostart=word, composed='true')
        assert [p.args for p in composed['SetParameter']] == [('autostart', value)]


def test_without_autostart_the_parameter_file_decides(actions):
    (node,) = actions('superpoint.launch.py')['Node']
    assert given_parameters(node) == []
    assert given_parameters(actions('vio.launch.py')['Node'][0]) == []
    assert 'SetParameter' not in actions('vio.launch.py', composed='true')


def test_vio_launch_starts_the_tracker_in_the_front_end_if_composed(actions):
    for word in TRUE:
        found = actions('vio.launch.py', composed=word)
        assert 'Node' not in found
        (superpoint,) = found['IncludeLaunchDescription']
        assert dict(superpoint.kwargs['launch_arguments'])['composed'] == word
    for word in FALSE:
        (tracker,) = actions('vio.launch.py', composed=word)['Node']
        assert tracker.kwargs['executable'] == 'tracker_node'


@pytest.mark.parametrize('file', ['superpoint.launch.py', 'vio.launch.py'])
@pytest.mark.parametrize('name', ['composed', 'autostart'])
def test_any_other_word_in_an_argument_raises(actions, file, name):
    with pytest.raises(ValueError, match=f'^{name}:=maybe: expected one of true'):
        actions(file, **{name: 'maybe'})
