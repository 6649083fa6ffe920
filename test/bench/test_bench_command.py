import importlib.util
import json

import cv2
import pytest

from superpoint_rknn.bench.command import RECORDED, check
from superpoint_rknn.bench.report import plot, table
from superpoint_rknn.cli import main

ROW_KEYS = {'name', 'median_ms', 'p95_ms', 'baseline', 'baseline_median_ms', 'ratio'}
NEEDED = ('rclpy', 'onnx', 'onnxruntime', 'skimage')
JUDGED = {'decode', 'describe_500', 'frame_overhead'}


def rows(**ratios):
    return [
        {
            'name': name,
            'median_ms': 1.0,
            'p95_ms': 2.0,
            'baseline': 'plainly',
            'baseline_median_ms': ratio,
            'ratio': ratio,
        }
        for name, ratio in ratios.items()
    ]


def test_check_names_what_became_slower(capsys):
    recorded = {'tolerance': 0.25, 'ratios': {'decode': 4.0, 'describe_500': 4.0, 'left_out': 2.0}}
    assert check(rows(decode=3.1, describe_500=8.0), recorded) == 0
    assert capsys.readouterr().err == ''
    assert check(rows(decode=2.9, describe_500=4.0), recorded) == 1
    assert 'decode: 2.90 times' in capsys.readouterr().err


def test_recorded_ratios_hold_what_matters():
    recorded = json.loads(RECORDED.read_text())
    assert set(recorded['ratios']) >= JUDGED
    assert min(recorded['ratios'].values()) > 0
    assert 0 < recorded['tolerance'] < 0.5


def test_the_picture_shows_longer_bars_for_longer_times():
    (row,) = rows(decode=10.0)
    picture = plot([row])
    widths = [(picture == colour).all(2).any(0).sum() for colour in ((180, 110, 40), (190,) * 3)]
    assert 10 < widths[0] < widths[1]


@pytest.fixture(scope='module')
def smoke(tmp_path_factory):
    """The whole command, as short as it can be; its figures mean nothing."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f'needs {", ".join(missing)}')
    folder = tmp_path_factory.mktemp('bench')
    files = ['--json', str(folder / 'bench.json'), '--plot', str(folder / 'bench.png')]
    code = main(['bench', '--quick', '--recordings', str(folder), *files])
    assert code == 0
    return folder


def test_the_command_measures_every_step_and_the_node(smoke):
    report = json.loads((smoke / 'bench.json').read_text())
    assert {row['name'] for row in report['rows']} >= JUDGED | {
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
    assert cv2.imread(str(smoke / 'bench.png')).shape[1] > 500
