import importlib.util
import json
import sys

import pytest

from superpoint_rknn.bench.command import RECORDED, check
from superpoint_rknn.bench.report import bar_chart, check_plot, table
from superpoint_rknn.cli import main

ROW_KEYS = {'name', 'median_ms', 'p95_ms', 'baseline', 'baseline_median_ms', 'ratio'}
NEEDED = ('rclpy', 'onnx', 'onnxruntime', 'skimage')
CHECKED = {'decode', 'describe_500', 'frame_overhead'}


def rows(**ratios):
    return [
        {
            'name': name,
            'median_ms': 1.0,
            'p95_ms': 2.0,
            'baseline': 'plain',
            'baseline_median_ms': ratio,
            'ratio': ratio,
        }
        for name, ratio in ratios.items()
    ]


def test_check_reports_low_ratios(capsys):
    recorded = {'tolerance': 0.25, 'ratios': {'decode': 4.0, 'describe_500': 4.0, 'left_out': 2.0}}
    assert check(rows(decode=3.1, describe_500=8.0), recorded) == 0
    assert capsys.readouterr().err == ''
    assert check(rows(decode=2.9, describe_500=4.0), recorded) == 1
    assert 'decode: ratio to the baseline 2.90, expected 4.00' in capsys.readouterr().err


def test_the_recorded_ratios_cover_the_main_steps():
    recorded = json.loads(RECORDED.read_text())
    assert set(recorded['ratios']) >= CHECKED
    assert min(recorded['ratios'].values()) > 0
    assert 0 < recorded['tolerance'] < 0.5


def test_bars_of_the_chart_are_as_long_as_the_times(tmp_path):
    pytest.importorskip('matplotlib')
    figure = bar_chart(rows(decode=10.0, describe_500=2.5))
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [1.0, 1.0, 10.0, 2.5]
    assert [label.get_text() for label in axes.get_yticklabels()] == ['decode', 'describe_500']
    assert [text.get_text() for text in axes.texts] == ['x 10.0', 'x 2.5']
    figure.savefig(tmp_path / 'plot.png')
    assert (tmp_path / 'plot.png').stat().st_size > 1000


def test_an_unwritable_chart_is_an_error_before_the_run(tmp_path, monkeypatch):
    pytest.importorskip('matplotlib')
    check_plot(tmp_path / 'plot.png')
    with pytest.raises(ValueError, match=r'plot\.txt: expected a name that ends in .*\.png'):
        check_plot(tmp_path / 'plot.txt')
    with pytest.raises(FileNotFoundError, match='no such folder'):
        check_plot(tmp_path / 'missing' / 'plot.png')
    monkeypatch.setitem(sys.modules, 'matplotlib', None)
    with pytest.raises(RuntimeError, match=r'charts need matplotlib 3\.7 or newer: pip install'):
        check_plot(tmp_path / 'plot.png')


@pytest.fixture(scope='module')
def quick_run(tmp_path_factory):
    """Folder with the results of a quick run of the command."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f'needs {", ".join(missing)}')
    folder = tmp_path_factory.mktemp('bench')
    json_file = str(folder / 'bench.json')
    code = main(['bench', '--quick', '--recordings', str(folder), '--json', json_file])
    assert code == 0
    return folder


def test_the_command_measures_every_step_and_the_node(quick_run):
    report = json.loads((quick_run / 'bench.json').read_text())
    assert {row['name'] for row in report['rows']} >= CHECKED | {
        'input_table',
        'convert_to',
        'message_keypoints',
        'publish_keypoints',
        'publish_descriptors',
    }
    for row in report['rows']:
        assert row.keys() >= ROW_KEYS
        assert 0 < row['median_ms'] <= row['p95_ms']
    (node,) = report['node']
    assert node['rate_hz'] == 120
    assert node['published'] > node['dropped']
    assert {'cpu', 'cores', 'numpy', 'load'} <= report['machine'].keys()
    assert 'decode' in table(report)
