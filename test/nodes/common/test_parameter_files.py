"""Warnings about parameter files whose sections are for other nodes."""

import pytest
import rclpy
from rclpy.parameter import Parameter

from superpoint_rknn.nodes.common.parameter_files import warnings_of_arguments, warnings_of_files


def warnings(tmp_path, content, *nodes):
    path = tmp_path / 'given.yaml'
    path.write_text(content)
    return list(warnings_of_files(['x', '--ros-args', '--params-file', str(path)], nodes))


@pytest.mark.parametrize('namespace', ['/', '/cam0', '/a/cam0'])
@pytest.mark.parametrize(
    'section',
    [
        *('/**', '**', '/*', '*', 'tracker', '/tracker', 'cam0/tracker', '/cam0/tracker'),
        *('/*/tracker', '/**/tracker', '/cam0/**', '/**/*', '/cam1/tracker', '/**/superpoint'),
    ],
)
def test_a_file_is_warned_of_where_ros_ignores_it(tmp_path, graph, section, namespace):
    content = f'"{section}": {{ros__parameters: {{value: 1}}}}'
    (tmp_path / 'given.yaml').write_text(content)
    arguments = ['--ros-args', '--params-file', str(tmp_path / 'given.yaml')]
    node = rclpy.create_node(
        'tracker', namespace=namespace, context=graph.context, cli_args=arguments
    )
    with node.handle:
        is_read = 'value' in node.handle.get_parameters(Parameter)
    name = node.get_fully_qualified_name()
    node.destroy_node()
    assert (warnings(tmp_path, content, name) == []) == is_read


def test_the_warning_names_file_sections_and_remedy(tmp_path):
    content = 'cam0: {tracker: {ros__parameters: {}}}\nsuperpoint: {ros__parameters: {a: 1}}'
    assert warnings(tmp_path, content, '/cam0/superpoint') == [
        f'{tmp_path}/given.yaml has no section for /cam0/superpoint, its values are ignored: it '
        'has /cam0/tracker, /superpoint; name it /**/superpoint for any namespace'
    ]
    assert warnings(tmp_path, content, '/cam0/superpoint', '/cam0/tracker') == []


def test_files_that_are_no_files_are_left_to_ros(tmp_path):
    assert list(warnings_of_files(['--params-file', str(tmp_path)], ['/a'])) == []
    assert list(warnings_of_files(['--params-file'], ['/a'])) == []


def test_parameters_without_ros_args_are_warned_of():
    given = ['node', '-p', 'a:=1', '--params-file', 'x', '--ros-args', '-p', 'b:=1', '--', 'c:=1']
    assert list(warnings_of_arguments(given)) == [
        f'{text} is ignored: it has to follow --ros-args'
        for text in ('a:=1', '--params-file', 'c:=1')
    ]
    assert list(warnings_of_arguments(['node', '--verbose', '--ros-args', '-r', 'a:=b'])) == []


def test_a_node_warns_of_a_file_for_another_namespace(tmp_path, graph):
    (tmp_path / 'given.yaml').write_text('tracker: {ros__parameters: {max_tracks: 7}}')
    process = graph.start(
        *('-m', 'superpoint_rknn.nodes.tracker.node', '--ros-args', '-r', '__ns:=/cam0'),
        *('--params-file', str(tmp_path / 'given.yaml'), '--', 'max_tracks:=7'),
    )
    graph.wait(lambda: 'active: ' in process.log.read_text(), 'the node to be active')
    assert 'given.yaml has no section for /cam0/tracker' in process.log.read_text()
    assert 'max_tracks:=7 is ignored' in process.log.read_text()
