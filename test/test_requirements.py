"""The sets of requirements: hashes, their .in files, and that sets of one environment agree."""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FOLDER = Path(__file__).resolve().parents[1] / 'requirements'
if not FOLDER.is_dir():
    pytest.skip('needs a checkout', allow_module_level=True)
SETS = sorted(path.stem for path in FOLDER.glob('*.in'))
HASH = re.compile(r'--hash=sha256:[0-9a-f]{64}\b')
TOGETHER = [  # sets of one environment
    ['ros-kilted', 'demo', 'images', 'test', 'vio'],
    ['ros-jazzy', 'demo', 'images', 'test', 'vio'],
    ['ros-jazzy', 'oldest', 'images'],
    ['ros-kilted', 'oldest', 'images'],
    ['torch', 'train'],
    ['torch', 'rknn-toolkit'],
]


def statements(name):
    """Lines of a file of requirements, continued ones joined, without comments."""
    text = re.sub(r'(?:^|\s)#.*', '', (FOLDER / name).read_text(), flags=re.MULTILINE)
    return [line for line in text.replace('\\\n', ' ').splitlines() if line.strip()]


def wanted(name):
    return [Requirement(line) for line in statements(f'{name}.in')]


def pinned(name):
    """Requirements of NAME.txt; the parser refuses any option but hashes."""
    return [Requirement(HASH.sub('', line)) for line in statements(f'{name}.txt')]


def python(minor):
    return {
        'python_version': f'3.{minor}',
        'python_full_version': f'3.{minor}.4',
        'sys_platform': 'linux',
        'platform_machine': 'x86_64',
    }


def versions(name, minor):
    """Version of each package of a set, by name, on a Python 3."""
    return {
        canonicalize_name(r.name): next(iter(r.specifier)).version
        for r in pinned(name)
        if r.marker is None or r.marker.evaluate(python(minor))
    }


def test_every_set_is_compiled():
    compiled = {path.stem for path in FOLDER.glob('*.txt')} - {'excludes'}
    assert set(SETS) == compiled
    script = (FOLDER / 'compile.sh').read_text().replace('ros-$distro', 'ros-kilted ros-jazzy')
    assert set(SETS) <= set(re.findall(r'[\w-]+', script))


@pytest.mark.parametrize('name', SETS)
def test_every_package_has_a_version_and_hashes(name):
    for line in statements(f'{name}.txt'):
        assert HASH.search(line), line
    for requirement in pinned(name):
        (specifier,) = requirement.specifier
        assert specifier.operator == '==', requirement
        assert requirement.url is None


@pytest.mark.parametrize('name', SETS)
def test_versions_are_those_asked_for(name):
    """A stale set: a package of NAME.in is missing from NAME.txt, or has another version."""
    first = 11 if name in ('vio', 'view', 'docs', 'fuzz') else 10
    for minor in [10] if name == 'oldest' else range(first, 15):
        found = versions(name, minor)
        if name.startswith('ros-'):
            found |= versions('demo', minor)  # what both need is listed there
        for requirement in wanted(name):
            if requirement.marker and not requirement.marker.evaluate(python(minor)):
                continue
            version = found.get(canonicalize_name(requirement.name))
            assert version, f'{requirement}, Python 3.{minor}: run requirements/compile.sh'
            assert requirement.specifier.contains(version), requirement


@pytest.mark.parametrize('names', TOGETHER, ids='+'.join)
def test_sets_of_one_environment_agree(names):
    for minor in [10] if 'oldest' in names else range(10, 15):
        together = {}
        for name in names:
            for package, version in versions(name, minor).items():
                assert together.setdefault(package, version) == version, (package, minor)


def test_no_host_is_named():
    for path in FOLDER.glob('*.txt'):
        assert not re.search(r'://|--(extra-)?index-url|--find-links', path.read_text()), path
