"""What `./dev` prints while pip downloads and installs, and when that fails."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[1] / 'requirements' / 'pip_progress.py'


@pytest.fixture
def progress(monkeypatch):
    """Progress of a set-up of 100 MB, whose clock stands at 50 s after its start."""
    monkeypatch.syspath_prepend(PROGRAM.parent)
    pip_progress = pytest.importorskip('pip_progress')
    now = iter([0.0, 10.0])
    monkeypatch.setattr(pip_progress.time, 'monotonic', lambda: next(now, 50.0))
    return pip_progress.Progress(100)


def test_bytes_and_time_left(progress):
    assert progress.text() == 'looking for packages'
    progress.read('Collecting numpy==2.2.6')
    progress.read('  Downloading numpy-2.2.6-cp311-cp311-linux_x86_64.whl.metadata (62 kB)')
    assert progress.text() == 'looking for packages'
    progress.read('  Using cached numpy-2.2.6-cp311-cp311-linux_x86_64.whl (20.0 MB)')
    assert progress.text() == '20 of 100 MB, numpy'
    progress.read('  Downloading https://host/a/onnx-1.20-cp311.whl (60.0 MB)')
    progress.read('     ---- 40.0/60.0 MB 1.0 MB/s eta 0:00:20')
    # 40 MB in the 40 s since the first file, so 40 MB in another 40 s.
    assert progress.text() == '60 of 100 MB, 0:40 left, onnx'
    progress.read('  Downloading tqdm-4.67.3-py3-none-any.whl (500 kB)')
    assert progress.text().startswith('80 of 100 MB')
    progress.read('Installing collected packages: numpy, onnx, tqdm')
    assert progress.text() == 'installing'


def test_more_than_expected(progress):
    progress.read('  Downloading torch-2.13.0-cp311.whl (2.5 GB)')
    progress.read('     ---- 0.9/2.5 GB 1.0 MB/s eta 0:00:20')
    assert progress.text() == '900 MB, torch'


def run(*arguments):
    environment = {k: v for k, v in os.environ.items() if not k.startswith('PIP_')}
    return subprocess.run(
        [sys.executable, PROGRAM, 'tools', '1', 'install', *map(str, arguments)],
        env=environment | {'PIP_CONFIG_FILE': '/dev/null'},
        capture_output=True,
        text=True,
    )


def wheel(folder, name):
    """Write a wheel of one module."""
    info = f'{name}-1.0.dist-info'
    metadata = f'Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n'
    with zipfile.ZipFile(folder / f'{name}-1.0-py3-none-any.whl', 'w') as archive:
        archive.writestr(f'{name}.py', '')
        archive.writestr(f'{info}/METADATA', metadata)
        archive.writestr(f'{info}/WHEEL', 'Wheel-Version: 1.0\nTag: py3-none-any\n')
        archive.writestr(f'{info}/RECORD', '')


def test_installed(tmp_path):
    wheel(tmp_path, 'tiny')
    result = run('--no-index', '--find-links', tmp_path, '--target', tmp_path / 'target', 'tiny')
    assert (result.returncode, result.stdout) == (0, '')
    (line,) = result.stderr.splitlines()
    assert line.startswith('dev: tools: installed in 0:')
    assert (tmp_path / 'target' / 'tiny.py').exists()


def test_no_network_is_one_line(tmp_path):
    # Nothing listens on port 9.
    index = ('--retries', 1, '--index-url', 'http://127.0.0.1:9/simple')
    result = run(*index, '--target', tmp_path, 'tiny')
    assert result.returncode == 1
    assert result.stderr == 'dev: tools: no network: pip can not reach its index\n'


def test_other_errors_show_what_pip_says(tmp_path):
    result = run('--no-index', '--find-links', tmp_path, '--target', tmp_path / 'target', 'tiny')
    assert result.returncode == 1
    assert 'No matching distribution found for tiny' in result.stderr
    assert result.stderr.endswith('dev: tools: pip failed\n')
