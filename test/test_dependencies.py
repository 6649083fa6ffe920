"""What commands say if NumPy or OpenCV can't be imported, and how they advise to install."""

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from superpoint_rknn.dependencies import import_problem, pip_install

ROOT = Path(__file__).parents[1]
PROBLEMS = [
    (
        'cv2',
        "import sys; sys.stderr.write('A module that was compiled using NumPy 1.x\\n' * 9)\n"
        "raise ImportError('numpy.core.multiarray failed to import')",
        "OpenCV can not be imported with NumPy .*: pip install 'numpy<2'",
    ),
    ('cv2', "raise AttributeError('_ARRAY_API not found')", "pip install 'numpy<2'"),
    (
        'cv2',
        "raise ImportError('libGL.so.1: cannot open shared object file')",
        r'\(libGL\.so\.1: .*\): sudo apt install python3-numpy python3-opencv',
    ),
    ('cv2', "raise ModuleNotFoundError(name='cv2')", 'cv2 is not installed: sudo apt install'),
    ('numpy', "raise ModuleNotFoundError(name='numpy')", 'numpy is not installed: sudo apt'),
]


@pytest.mark.parametrize(('module', 'code', 'remedy'), PROBLEMS)
@pytest.mark.parametrize('command', ['extract', 'doctor'])
def test_one_line_names_the_remedy(tmp_path, module, code, remedy, command):
    (tmp_path / f'{module}.py').write_text(code)
    program = (
        f'import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; '
        f'from superpoint_rknn.cli import main; sys.exit(main([{command!r}, "--help"]))'
    )
    result = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)
    assert result.returncode == 1
    expected = result.stdout if command == 'doctor' else result.stderr
    assert result.stdout + result.stderr == expected
    (line,) = expected.splitlines()
    assert line.startswith('advice  ' if command == 'doctor' else 'superpoint_rknn: ')
    assert re.search(remedy, line)


@pytest.mark.parametrize(('module', 'code', 'remedy'), PROBLEMS)
@pytest.mark.parametrize(
    'command',
    [
        [sys.executable, '-m', 'superpoint_rknn.nodes.tracker.node'],
        [sys.executable, Path(sys.prefix, 'lib', 'superpoint_rknn', 'superpoint_node')],
        [sys.executable, '-c', 'from superpoint_rknn import FrontEnd'],
    ],
    ids=['module', 'executable', 'library'],
)
def test_nodes_name_the_remedy(tmp_path, module, code, remedy, command):
    (tmp_path / f'{module}.py').write_text(code)
    environment = os.environ | {'PYTHONPATH': str(tmp_path)}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
    assert result.returncode == 1
    assert result.stdout == ''
    last = result.stderr.splitlines()[-1]
    assert re.search(remedy, last)
    if command[1] != '-c':
        assert result.stderr.splitlines() == [last]


def test_no_problem_here():
    assert import_problem() == ''


@pytest.mark.parametrize(
    ('versions', 'line'),
    [
        (['1.21.5'], "pip install rosbags tqdm 'numpy<2'"),
        (['2.2.6', '1.26.4'], "pip install rosbags tqdm 'numpy<2'"),  # the second is hidden
        (['2.2.6'], 'pip install rosbags tqdm'),
        ([], 'pip install rosbags tqdm'),
    ],
)
def test_numpy_of_the_distribution_is_kept(monkeypatch, versions, line):
    found = [SimpleNamespace(version=version) for version in versions]
    monkeypatch.setattr(metadata, 'distributions', lambda name: found)
    assert pip_install('rosbags', 'tqdm') == line


def test_all_advice_keeps_numpy():
    """No document and no message but that of pip_install names packages that bring NumPy 2."""
    bring_numpy = re.compile(
        r'pip install [^`\n]*\b(onnx|onnxruntime|rosbags|matplotlib|rknn-\S+)'
    )
    for path in [
        *ROOT.glob('*.md'),
        *ROOT.glob('docs/*.md'),
        *ROOT.glob('superpoint_rknn/**/*.py'),
    ]:
        for line in path.read_text().splitlines():
            if bring_numpy.search(line):
                assert "'numpy<2'" in line, f'{path}: {line}'
