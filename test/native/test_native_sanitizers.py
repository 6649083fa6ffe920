"""The tests of the native functions, on a build with sanitisers."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import superpoint_rknn

HERE = Path(__file__).parent
SOURCE = HERE.parents[1] / 'superpoint_rknn' / 'native'
SANITIZERS = 'address,undefined,float-cast-overflow'


def preloaded(compiler):
    """The run-time library of the address sanitiser, which has to be loaded first."""
    command = [compiler, '-print-file-name=libasan.so']
    path = Path(subprocess.run(command, capture_output=True, text=True).stdout.strip())
    if not path.is_absolute():  # GCC prints the bare name of what it does not have
        pytest.skip(f'{compiler} has no address sanitiser')
    return path.resolve()


@pytest.mark.slow
@pytest.mark.parametrize('instructions', ['-mno-avx2', '-mavx2'])
def test_no_sanitizer_reports(tmp_path, instructions):
    compiler = shutil.which('gcc')
    if compiler is None or shutil.which('cmake') is None or not SOURCE.is_dir():
        pytest.skip('needs gcc, cmake and a checkout')
    if platform.machine() != 'x86_64':
        pytest.skip('needs x86-64')
    flags = Path('/proc/cpuinfo').read_text(encoding='utf-8').split()
    if instructions == '-mavx2' and 'avx2' not in flags:
        pytest.skip('needs a CPU with AVX2')
    library = preloaded(compiler)
    options = f'-g -fsanitize={SANITIZERS} -fno-sanitize-recover=all {instructions}'
    build = ['cmake', '-S', SOURCE, '-B', tmp_path / 'build', f'-DCMAKE_C_FLAGS={options}']
    build += [f'-DCMAKE_C_COMPILER={compiler}']
    build += [f'-DCMAKE_LIBRARY_OUTPUT_DIRECTORY={tmp_path / "native"}']
    subprocess.run(build, check=True, stdout=subprocess.PIPE)
    subprocess.run(['cmake', '--build', tmp_path / 'build'], check=True, stdout=subprocess.PIPE)
    environment = {
        'LD_PRELOAD': str(library),
        'ASAN_OPTIONS': 'detect_leaks=0',  # Python frees little at its end
        'NATIVE_LIBRARY': str(tmp_path),
        '_ROS_WHEELS_BOOTSTRAP_COMPLETE': '1',  # keeps the ROS wheels from restarting Python
        'PYTEST_ADDOPTS': '',
        'PYTHONPATH': os.pathsep.join(
            [str(Path(superpoint_rknn.__path__[0]).parent), os.environ.get('PYTHONPATH', '')]
        ),
    }
    result = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '-x', '-m', 'not slow', HERE],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-5000:]
    assert ' passed' in result.stdout
