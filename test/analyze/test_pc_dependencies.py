"""matplotlib and jinja2 are needed for reports alone: boards do not have them."""

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
WITHOUT = "import sys; sys.modules['matplotlib'] = sys.modules['jinja2'] = None; "
COMMAND = 'from superpoint_rknn import cli; sys.exit(cli.main(sys.argv[1:]))'
NODES = (
    'import superpoint_rknn.nodes.superpoint.node, superpoint_rknn.nodes.tracker.node, '
    'superpoint_rknn.nodes.front_end'
)


def run_without(code, *arguments):
    return subprocess.run(
        [sys.executable, '-c', WITHOUT + code, *arguments],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize('command', ['doctor', 'extract', 'bench', 'quantize', 'convert'])
def test_other_commands_work_without_them(command):
    result = run_without(COMMAND, command, '--help')
    assert result.returncode == 0, result.stderr
    assert f'usage: superpoint_rknn {command}' in result.stdout


def test_nodes_work_without_them():
    pytest.importorskip('rclpy')
    result = run_without(NODES)
    assert result.returncode == 0, result.stderr


def test_analyze_names_the_missing_package():
    result = run_without(COMMAND, 'analyze', '--help')
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith('superpoint_rknn: analyze needs ')
    assert 'pip install' in line
    assert 'matplotlib jinja2' in line
