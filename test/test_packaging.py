"""The four ways to install, each checked by running the installed commands; and `colcon test`."""

import os
import shutil
import subprocess
import sys
import sysconfig
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
PROBE = """
import sys
from pathlib import Path
import superpoint_rknn
from superpoint_rknn.msg import Descriptors, Keypoints
from superpoint_rknn.native.library import library
from superpoint_rknn.nodes.superpoint import node as superpoint_node
from superpoint_rknn.runtimes.model_files import shipped_models
assert Keypoints(width=3).width == 3 and Descriptors(dim=256).dim == 256
print(Path(superpoint_rknn.__file__).parent, shipped_models(), sep='\\n')
print(superpoint_rknn.__version__, library()._name, sep='\\n')
"""


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    """Copy of the tracked files, since builds write beside their sources."""
    if shutil.which('cmake') is None or shutil.which('c++') is None:
        pytest.skip('needs cmake and a C++ compiler')
    if not (CHECKOUT / '.git').exists():
        pytest.skip('needs a git checkout, whose tracked files are the package')
    tracked = subprocess.run(
        ['git', 'ls-files', '-z'], cwd=CHECKOUT, capture_output=True, check=True
    ).stdout
    folder = tmp_path_factory.mktemp('source') / 'superpoint_rknn'
    for name in tracked.decode().split('\0'):
        if name and (CHECKOUT / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, target)
    return folder


def run(command, expect=0, **kwargs):
    result = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kwargs
    )
    assert result.returncode == expect, f'{command}:\n{result.stdout[-6000:]}'
    return result.stdout


def probe(prefix, packages, cwd):
    """Run the commands of an installation; return the folders of its modules and models."""
    env = os.environ | {
        'PYTHONPATH': str(packages),
        'AMENT_PREFIX_PATH': os.pathsep.join([str(prefix), os.environ['AMENT_PREFIX_PATH']]),
        'LD_LIBRARY_PATH': os.pathsep.join(
            [str(prefix / 'lib'), os.environ.get('LD_LIBRARY_PATH', '')]
        ),
    }
    output = run([sys.executable, '-c', PROBE], env=env, cwd=cwd)
    modules, models, version, native = output.splitlines()
    assert prefix in Path(native).parents
    assert version == ET.parse(CHECKOUT / 'package.xml').findtext('version')
    env['PATH'] = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
    assert 'usage: superpoint_rknn' in run([prefix / 'bin/superpoint_rknn', '-h'], env=env)
    node = prefix / 'lib/superpoint_rknn/superpoint_node'
    if node.exists():  # an editable installation has only share/ and messages
        stopped = run([node, '--ros-args', '-p', 'autostart'], env=env, expect=1)
        assert 'not started' in stopped
        assert 'Traceback' not in stopped
    return Path(modules), Path(models)


def packages_of(prefix):
    return Path(sysconfig.get_path('purelib', vars={'base': str(prefix)}))


def assert_files(prefix):
    share = prefix / 'share' / 'superpoint_rknn'
    for path in (
        share / 'package.xml',
        share / 'msg' / 'Keypoints.msg',
        share / 'launch' / 'superpoint.launch.py',
        share / 'config' / 'superpoint.yaml',
        share / 'config' / 'fastdds.xml',
        share / 'models' / 'superpoint_400x640_u8.onnx',
        prefix / 'share/ament_index/resource_index/packages/superpoint_rknn',
        prefix / 'share/ament_index/resource_index/rosidl_interfaces/superpoint_rknn',
        *(
            prefix / 'lib' / 'superpoint_rknn' / name
            for name in ('superpoint_node', 'tracker_node', 'front_end')
        ),
        prefix / 'bin' / 'superpoint_rknn',
        packages_of(prefix) / 'superpoint_rknn' / 'py.typed',
    ):
        assert path.exists(), path


def colcon(source, folder, verb, *arguments, env=None):
    """Run colcon with all its folders below `folder`; return the installation."""
    if shutil.which('colcon') is None:
        pytest.skip('needs colcon')
    install = folder / 'install'
    command = ['colcon', '--log-base', folder / 'log', verb, '--base-paths', source]
    command += ['--merge-install', '--build-base', folder / 'build', '--install-base', install]
    run([*map(str, command), *arguments], cwd=folder, env=env, stdin=subprocess.DEVNULL)
    return install


def colcon_build(source, folder, testing, *options):
    definitions = [f'-DPython3_EXECUTABLE={sys.executable}', f'-DBUILD_TESTING={testing}']
    return colcon(source, folder, 'build', *options, '--cmake-args', *definitions)


@pytest.mark.parametrize(
    'symlink', [False, pytest.param(True, marks=pytest.mark.slow)], ids=['copied', 'symlinked']
)
def test_colcon_build(source, tmp_path, symlink):
    options = ['--symlink-install'] if symlink else []
    install = colcon_build(source, tmp_path, 'OFF', *options)
    assert_files(install)
    compiled = packages_of(install) / 'superpoint_rknn/nodes/superpoint/__pycache__'
    assert list(compiled.glob('node.*.pyc'))  # before the first start
    modules, models = probe(install, packages_of(install), tmp_path)
    assert modules == packages_of(install) / 'superpoint_rknn'
    assert models == install / 'share' / 'superpoint_rknn' / 'models'
    module = modules / 'nodes' / 'superpoint' / 'node.py'
    assert module.is_symlink() == symlink


@pytest.mark.slow
def test_colcon_test(source, tmp_path):
    """Runs a part of the suite, which must find the installed package."""
    colcon_build(source, tmp_path, 'ON')
    env = os.environ | {'PYTEST_ADDOPTS': '-k "test_mailbox or test_suite or training"'}
    colcon(source, tmp_path, 'test', '--return-code-on-test-failure', env=env)
    (report,) = tmp_path.glob('build/**/test.xunit.xml')
    counts = ET.parse(report).getroot().find('testsuite').attrib
    assert int(counts['tests']) > 10
    assert counts['failures'] == counts['errors'] == counts['skipped'] == '0'


def test_pip_install(source, tmp_path):
    prefix = tmp_path / 'prefix'
    command = [sys.executable, '-m', 'pip', 'install', '-q', '--no-deps', '--no-build-isolation']
    run([*command, '--prefix', str(prefix), '--ignore-installed', '.'], cwd=source)
    assert_files(prefix)
    modules, models = probe(prefix, packages_of(prefix), tmp_path)
    assert modules == packages_of(prefix) / 'superpoint_rknn'
    assert models == prefix / 'share' / 'superpoint_rknn' / 'models'


@pytest.mark.slow  # as `./dev setup` does it
def test_pip_install_editable(source, tmp_path):
    prefix = tmp_path / 'prefix'
    command = [sys.executable, '-m', 'pip', 'install', '-q', '--no-deps', '--no-build-isolation']
    run([*command, '--prefix', str(prefix), '--ignore-installed', '-e', '.'], cwd=source)
    packages = packages_of(prefix)
    paths = [str(packages), *(p.read_text().strip() for p in packages.glob('*.pth'))]
    modules, models = probe(prefix, os.pathsep.join(paths), tmp_path)
    assert modules == source / 'superpoint_rknn'
    assert models == source / 'models'
