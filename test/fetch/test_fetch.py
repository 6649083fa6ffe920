"""Fetching packages with a stand-in for apt-get, and with the real pip from a local folder."""

import hashlib
import json
import os
import sys
import zipfile

import pytest

from superpoint_rknn.fetch.fetch import fetch
from superpoint_rknn.fetch.package import FetchError, Package, reason

# $SOURCES: versions of each package by source: 'machine' (the present lists), 'refreshed' (after
# an update) or the name of a release.
APT_GET = """#!{python}
import json, os, re, sys
sources = json.loads(os.environ['SOURCES'])
line = ' '.join(sys.argv[1:])
lists = re.search('Dir::State=([^ ]+)', line)
file = re.search('Dir::Etc::SourceList=([^ ]+)', line)
text = open(file[1]).read() if file else ''
source = text.split()[-2] if file else 'refreshed' if lists else 'machine'
with open(os.environ['LOG'], 'a') as log:
    log.write(source + ': ' + re.sub('-[oq] *[A-Z][^ ]*|-q', '', line).strip() + '\\n')
if 'indextargets' in line:
    print('Other other://mirror/\\n' + os.environ['LABEL'] + ' some://mirror/')
elif 'update' in line:
    if file:
        assert 'some://mirror/ ' in text, text
    if os.environ.get('OFFLINE'):
        print("W: Failed to fetch x  Temporary failure resolving 'mirror'", file=sys.stderr)
else:
    name, _, version = sys.argv[-1].partition('=')
    versions = sources.get(source, {{}}).get(name, [])
    if version not in versions and (version or not versions):
        print('E: Unable to locate package ' + name, file=sys.stderr)
        sys.exit(100)
    version = version or versions[0]
    file = name + '_' + version + '_all.deb'
    content = source + ' ' + version
    if '--print-uris' in line:
        print("'some://mirror/" + file + "' " + file + ' ' + str(len(content)) + ' SHA256:0')
    else:
        open(file + '.part' if os.environ.get('BREAK') else file, 'w').write(content)
        if os.environ.get('BREAK'):
            print('E: ' + os.environ['BREAK'], file=sys.stderr)
            sys.exit(100)
"""
PACKAGE = Package('pictures', 'deb', '2.0', size=100, release='bookworm')


@pytest.fixture
def apt(tmp_path, monkeypatch):
    """Function that sets the versions of each source; returns a reader of apt-get's calls."""
    programs = tmp_path / 'programs'
    programs.mkdir()
    for name, text in {'apt-get': APT_GET.format(python=sys.executable), 'dpkg-deb': ''}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv('PATH', f'{programs}:{os.environ["PATH"]}')
    monkeypatch.setenv('LOG', str(tmp_path / 'log'))
    monkeypatch.setenv('LABEL', 'Debian')

    def configure(**sources):
        named = {source: {'pictures': versions} for source, versions in sources.items()}
        monkeypatch.setenv('SOURCES', json.dumps(named))
        return lambda: (tmp_path / 'log').read_text().splitlines()

    return configure


@pytest.mark.parametrize(
    ('sources', 'expected'),
    [
        ({'machine': ['3.0', '2.0'], 'bookworm': ['2.0']}, 'machine 2.0'),
        ({'machine': ['3.0'], 'bookworm': ['2.1', '2.0']}, 'bookworm 2.0'),
        ({'machine': ['3.0'], 'bookworm': ['2.1']}, 'bookworm 2.1'),
        ({'machine': ['3.0']}, 'machine 3.0'),
        ({'bookworm': ['2.0']}, 'bookworm 2.0'),
        ({'refreshed': ['2.0'], 'bookworm': ['2.0']}, 'refreshed 2.0'),
    ],
)
def test_order_of_sources_and_versions(apt, tmp_path, sources, expected):
    apt(**sources)
    path = fetch(PACKAGE, tmp_path / 'cache')
    assert path.read_text() == expected
    assert list((tmp_path / 'cache').iterdir()) == [path]


def test_a_package_without_a_fixed_version_is_fetched_from_the_machines_sources(apt, tmp_path):
    calls = apt(machine=['3.0'], bookworm=['2.0'])
    path = fetch(Package('pictures', 'deb', '', 100, 'bookworm'), tmp_path / 'cache')
    assert path.read_text() == 'machine 3.0'
    assert {line.split(':')[0] for line in calls()} == {'machine'}


def test_releases_of_debian_are_not_used_on_another_distribution(apt, tmp_path, monkeypatch):
    apt(machine=['3.0'], bookworm=['2.0'])
    monkeypatch.setenv('LABEL', 'Ubuntu')
    assert fetch(PACKAGE, tmp_path / 'cache').read_text() == 'machine 3.0'


def test_an_existing_file_is_not_fetched_again(tmp_path, monkeypatch):
    monkeypatch.setenv('PATH', '')
    given = tmp_path / 'pictures_2.0_all.deb'
    given.write_bytes(b'')
    assert fetch(PACKAGE, tmp_path) == given


def fetch_error(package, folder):
    with pytest.raises(FetchError) as caught:
        fetch(package, folder)
    assert list(folder.iterdir()) == []
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_a_package_missing_in_all_sources(apt, tmp_path):
    apt()
    message = fetch_error(PACKAGE, tmp_path / 'cache')
    assert message == (
        "Debian package pictures: the machine's apt sources do not have it; correct this or put "
        f'the file (pictures_*.deb, version 2.0, Debian bookworm) into {tmp_path / "cache"}'
    )


def test_a_machine_without_apt(tmp_path, monkeypatch):
    monkeypatch.setenv('PATH', '')
    message = fetch_error(PACKAGE, tmp_path / 'cache')
    assert 'this machine has no apt-get; ' in message
    assert f'into {tmp_path / "cache"}' in message


def test_the_error_names_a_missing_network(apt, tmp_path, monkeypatch):
    apt()
    monkeypatch.setenv('OFFLINE', '1')
    assert 'pictures: no network; ' in fetch_error(PACKAGE, tmp_path / 'cache')


def test_a_broken_download_leaves_no_file(apt, tmp_path, monkeypatch):
    apt(machine=['2.0'])
    monkeypatch.setenv('BREAK', 'Hash Sum mismatch')
    assert 'Hash Sum mismatch; ' in fetch_error(PACKAGE, tmp_path / 'cache')


def test_a_package_above_its_limit_is_not_downloaded(apt, tmp_path):
    calls = apt(machine=['2.0'])
    message = fetch_error(Package('pictures', 'deb', '2.0', 5), tmp_path / 'cache')
    assert '11 bytes offered, at most 5 expected' in message
    assert all('--print-uris' in line for line in calls())


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A wheel in the only package index of pip."""
    index = tmp_path / 'index'
    index.mkdir()
    path = index / 'some_pictures-1.0-py3-none-any.whl'
    with zipfile.ZipFile(path, 'w') as file:
        file.writestr('picture.png', bytes(5000))
        file.writestr(
            'some_pictures-1.0.dist-info/METADATA',
            'Metadata-Version: 2.1\nName: some-pictures\nVersion: 1.0\n',
        )
        file.writestr('some_pictures-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\n')
        file.writestr('some_pictures-1.0.dist-info/RECORD', '')
    for name in [name for name in os.environ if name.startswith('PIP_')]:
        monkeypatch.delenv(name)
    monkeypatch.setenv('PIP_CONFIG_FILE', os.devnull)
    monkeypatch.setenv('PIP_NO_INDEX', '1')
    monkeypatch.setenv('PIP_FIND_LINKS', str(index))
    return path


def package_of(wheel, version='1.0', size=10_000, sha256=None):
    sha256 = sha256 or hashlib.sha256(wheel.read_bytes()).hexdigest()
    return Package('some-pictures', 'wheel', version, size, sha256=sha256)


def test_a_wheel_is_fetched_from_the_configured_index(wheel, tmp_path):
    path = fetch(package_of(wheel), tmp_path / 'cache')
    assert path == tmp_path / 'cache' / wheel.name
    assert path.read_bytes() == wheel.read_bytes()
    wheel.unlink()
    assert fetch(Package(**vars(package_of(path))), tmp_path / 'cache') == path


def test_a_wheel_with_another_hash_is_an_error(wheel, tmp_path):
    message = fetch_error(package_of(wheel, sha256='0' * 64), tmp_path / 'cache')
    assert 'wheel some-pictures: the download has no some_pictures-1.0-*.whl of the' in message


def test_a_wheel_of_another_version_is_an_error(wheel, tmp_path):
    message = fetch_error(package_of(wheel, version='2.0'), tmp_path / 'cache')
    assert 'No matching distribution' in message or 'Could not find a version' in message


def test_the_download_of_a_wheel_stops_at_its_limit(wheel, tmp_path):
    assert 'File too large' in fetch_error(package_of(wheel, size=1000), tmp_path / 'cache')


@pytest.mark.parametrize(
    ('output', 'expected'),
    [
        ('E: Failed to fetch x  Could not connect to a:80 (1.2.3.4)\nE: more', 'no network'),
        ("W: Failed to fetch x  Temporary failure resolving 'a'", 'no network'),
        (
            'WARNING: Retrying ... NewConnectionError(": Failed to establish a new connection")\n'
            'ERROR: Could not find a version that satisfies x (from versions: none)',
            'no network',
        ),
        ('W: unsandboxed\nE: Unable to locate package x', 'Unable to locate package x'),
        ('ERROR: Exception:\nTraceback:\n  x\nOSError: File too large', 'OSError: File too large'),
        ('something', 'something'),
        ('', 'failed without a message'),
    ],
)
def test_reason_in_the_output_of_apt_and_pip(output, expected):
    assert reason(output) == expected
