"""`./dev param set`: the parameter of a node in another process."""

import sys
from pathlib import Path

import pytest
from rcl_interfaces.msg import ParameterDescriptor

PROGRAM = Path(__file__).parents[2] / 'demo' / 'param.py'


@pytest.fixture
def set_parameter(graph):
    """Function that runs the command; returns exit code and output."""
    graph.node.declare_parameter('grid', [1, 1])
    graph.node.declare_parameter('fixed', 'a', ParameterDescriptor(read_only=True))

    def run(*arguments):
        process = graph.start_program(sys.executable, PROGRAM, 'set', *arguments)
        graph.wait(lambda: process.poll() is not None, 'the end of the command')
        graph.group.processes.remove(process)
        return process.returncode, process.log.read_text()

    return run


def test_a_value_is_parsed_as_yaml(graph, set_parameter):
    assert set_parameter('/test', 'grid', '[3, 4]') == (0, '/test: grid is set to [3, 4]\n')
    assert list(graph.node.get_parameter('grid').value) == [3, 4]


def test_the_reason_of_a_refusal_is_printed(graph, set_parameter):
    code, output = set_parameter('/test', 'fixed', 'b')
    assert (code, output.count('\n')) == (1, 1)
    assert output.startswith('param: /test refuses fixed: ')
    assert graph.node.get_parameter('fixed').value == 'a'


@pytest.mark.slow
def test_an_unknown_parameter_is_refused(set_parameter):
    code, output = set_parameter('/test', 'no_such_name', '1')
    assert code == 1
    assert 'no_such_name' in output


@pytest.mark.slow
def test_the_nodes_of_the_graph_are_listed_if_the_node_is_missing(graph, set_parameter):
    code, output = set_parameter('/tset', 'grid', '[3, 4]')
    domain = graph.context.get_domain_id()
    assert code == 1
    assert output == f'param: no node /tset in the ROS domain {domain}; found: /test\n'
