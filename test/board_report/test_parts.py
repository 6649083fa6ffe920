"""State of the board, texts without private names, and reports of strangers."""

import copy
import json
import re

import pytest

from superpoint_rknn.board_report.privacy import public_text
from superpoint_rknn.board_report.schema import read_report, validate
from superpoint_rknn.board_report.state import board_state
from superpoint_rknn.board_report.text import index
from superpoint_rknn.cli import main


@pytest.fixture
def root(tmp_path):
    files = {
        'sys/devices/system/cpu/cpu0/cpufreq': ('408000', '1800000', 'ondemand'),
        'sys/devices/system/cpu/cpu4/cpufreq': ('1200000', '2400000', 'performance'),
    }
    for folder, (current, highest, governor) in files.items():
        path = tmp_path / folder
        path.mkdir(parents=True)
        (path / 'scaling_cur_freq').write_text(current)
        (path / 'cpuinfo_max_freq').write_text(highest)
        (path / 'scaling_governor').write_text(governor)
    npu = tmp_path / 'sys/class/devfreq/fdab0000.npu'
    gpu = tmp_path / 'sys/class/devfreq/fb000000.gpu'
    for device, clock in ((gpu, '900000000'), (npu, '300000000')):
        device.mkdir(parents=True)
        (device / 'cur_freq').write_text(clock + '\n')
        (device / 'available_frequencies').write_text('300000000 600000000 1000000000\n')
        (device / 'governor').write_text('rknpu_ondemand\n')
    for zone, temperature in enumerate(('45307', '61230')):
        path = tmp_path / f'sys/class/thermal/thermal_zone{zone}'
        path.mkdir(parents=True)
        (path / 'temp').write_text(temperature)
    (tmp_path / 'proc').mkdir()
    (tmp_path / 'proc/meminfo').write_text('MemTotal:  1024 kB\nMemAvailable:  512 kB\n')
    return tmp_path


def test_state_is_that_of_the_fastest_cpu_the_npu_and_the_hottest_zone(root):
    assert board_state(root) == {
        'cpu_mhz': 1200,
        'cpu_max_mhz': 2400,
        'cpu_governor': 'performance',
        'npu_mhz': 300,
        'npu_max_mhz': 1000,
        'npu_governor': 'rknpu_ondemand',
        'temperature_c': 61.23,
        'memory_mb': 1,
        'memory_available_mb': 0.5,
    }


def test_a_kernel_that_states_nothing_or_nonsense_gives_none(root, tmp_path_factory):
    empty = tmp_path_factory.mktemp('empty')
    assert set(board_state(empty).values()) == {None}
    (root / 'sys/class/devfreq/fdab0000.npu/cur_freq').write_text('nonsense')
    (root / 'sys/devices/system/cpu/cpu4/cpufreq/scaling_governor').write_text('a b\n')
    state = board_state(root)
    assert state['npu_mhz'] is None
    assert state['cpu_governor'] is None


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('/home/anna/models/a.rknn: no such file', 'a.rknn: no such file'),
        ("~/x/b.json (from '../../c/d.onnx')", "b.json (from 'd.onnx')"),
        ('read /sys/kernel/debug/rknpu', 'read /sys/kernel/debug/rknpu'),
        ('(x - 0) / 1 / scale 1/255', '(x - 0) / 1 / scale 1/255'),
        ('host annas-board failed\nat once', 'host HOST failed at once'),
    ],
)
def test_texts_lose_folders_and_the_name_of_the_host(text, expected):
    assert public_text(text, 'annas-board') == expected


def test_check_judges_a_report_by_its_figures(board, capsys, tmp_path):
    _, report = board.report()
    path = board.output / 'report.json'
    assert main(['board-report', '--check', str(path)]) == 0
    report['models'][0]['images'][0]['cosine'] = 0.5
    report['models'][1]['state'] = None
    path.write_text(json.dumps(report))
    capsys.readouterr()
    assert main(['board-report', '--check', str(path)]) == 1
    out = capsys.readouterr().out
    assert f'fail  {board.model().name}: golden outputs, photograph' in out
    assert '1 failed' in out


def test_a_report_of_a_stranger_with_a_wrong_field_is_refused_by_its_name(board):
    _, report = board.report('--model', 'superpoint')
    validate(report)
    changes = {
        'report.board.soc': lambda r: r['board'].update(soc='rk\n3588'),
        'report.board.libraries[0].generation': lambda r: r['board']['libraries'][0].update(
            generation=True
        ),
        'report.state.cpu_mhz': lambda r: r['state'].update(cpu_mhz=float('nan')),
        'report.models[0].load_s': lambda r: r['models'][0].update(load_s=float('inf')),
        'report.models[0].images[0].mistakes[0]': lambda r: r['models'][0]['images'][0][
            'mistakes'
        ].append('own'),
        'report.models': lambda r: r.update(models=r['models'] * 9),
        'report.models[0].times[0].name': lambda r: r['models'][0]['times'][0].update(name=[]),
        'report: ': lambda r: r.update(more=1),
        'schema: 2': lambda r: r.update(schema=2),
    }
    for where, change in changes.items():
        wrong = copy.deepcopy(report)
        change(wrong)
        with pytest.raises(ValueError, match=f'^{re.escape(where)}'):
            validate(wrong)


@pytest.mark.parametrize(
    'content', [b'', b'[]', b'\xff', b'{"schema": 1}', b'[' * 100000, b' ' * (1 << 21)]
)
def test_files_that_are_no_reports_are_refused_in_one_line(content, tmp_path, capsys):
    path = tmp_path / 'report.json'
    path.write_bytes(content)
    assert main(['board-report', '--check', str(path)]) == 1
    error = capsys.readouterr().err
    assert error.count('\n') == 1
    assert str(path) in error
    with pytest.raises(ValueError, match='not a board report'):
        read_report(path)


def test_the_table_has_a_row_for_each_report_and_escapes_its_texts(board, tmp_path):
    _, report = board.report()
    report['board']['model'] = '<img> | [a](b) @all'
    folder = tmp_path / 'boards'
    folder.mkdir()
    readme = folder / 'README.md'
    readme.write_text(
        'before\n<!-- made by board-report --table -->\nold\n<!-- end of the table -->\nafter\n'
    )
    (folder / 'my_board.json').write_text(json.dumps(report))
    assert main(['board-report', '--table', str(folder)]) == 0
    text = readme.read_text()
    assert text.startswith('before\n')
    assert text.endswith('after\n')
    assert 'old' not in text
    assert '| my\\_board | &lt;img> \\| \\[a\\](b) &#64;all |' in text
    assert '| none |' in text
    assert index({'my_board': report}) in text


def test_the_table_of_the_repository_is_current(request, tmp_path):
    source = request.config.rootpath / 'docs' / 'boards'
    for path in source.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert main(['board-report', '--table', str(tmp_path)]) == 0
    assert (tmp_path / 'README.md').read_text() == (source / 'README.md').read_text()
