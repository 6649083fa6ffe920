"""Reading files from packages."""

import hashlib
import io
import shutil
import tarfile
import zipfile

import pytest

from superpoint_rknn.fetch import archive
from superpoint_rknn.fetch.archive import checked_files, files

needs_dpkg = pytest.mark.skipif(shutil.which('dpkg-deb') is None, reason='needs dpkg-deb')
CONTENTS = {'usr/a.png': b'aaaa', 'usr/b.txt': b'bb'}


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def accept_all(path):
    return True


def data_tar():
    """CONTENTS, and members that must not be read."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w:gz') as tar:

        def add(name, content=b'', **attributes):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for key, value in attributes.items():
                setattr(member, key, value)
            tar.addfile(member, io.BytesIO(content))

        for name, content in CONTENTS.items():
            add(f'./{name}', content)
        add('./usr/link.png', type=tarfile.SYMTYPE, linkname='/etc/passwd')
        add('./usr/hard.png', type=tarfile.LNKTYPE, linkname='./usr/a.png')
        add('./usr/../../evil.png', b'evil')
    return buffer.getvalue()


@pytest.fixture
def deb(tmp_path):
    """A Debian package: an ar archive of three members."""
    path = tmp_path / 'pictures_1_all.deb'
    empty = io.BytesIO()
    tarfile.open(fileobj=empty, mode='w:gz').close()
    members = {
        'debian-binary': b'2.0\n',
        'control.tar.gz': empty.getvalue(),
        'data.tar.gz': data_tar(),
    }
    with path.open('wb') as file:
        file.write(b'!<arch>\n')
        for name, content in members.items():
            file.write(f'{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n'.encode())
            file.write(content + b'\n' * (len(content) % 2))
    return path


@pytest.fixture
def wheel(tmp_path):
    path = tmp_path / 'pictures-1-py3-none-any.whl'
    with zipfile.ZipFile(path, 'w') as file:
        for name, content in CONTENTS.items():
            file.writestr(name, content)
        file.writestr('usr/../../evil.png', b'evil')
    return path


@pytest.fixture(params=[pytest.param('deb', marks=needs_dpkg), 'wheel'])
def package(request):
    return request.getfixturevalue(request.param)


def test_links_and_files_outside_the_archive_are_not_read(package):
    assert dict(files(package, accept_all)) == CONTENTS


def test_only_wanted_files_are_read(package):
    assert list(files(package, lambda path: path.endswith('.txt'))) == [('usr/b.txt', b'bb')]


def test_a_reader_may_stop_early(package):
    assert next(files(package, accept_all)) == ('usr/a.png', b'aaaa')


def test_a_file_above_the_limit_raises(package, monkeypatch):
    monkeypatch.setattr(archive, 'MEMBER_LIMIT', 3)
    with pytest.raises(ValueError, match=r'usr/a\.png has 4 bytes, at most 3'):
        list(files(package, accept_all))


def test_files_with_the_expected_hash(package):
    expected = {path: sha256(content) for path, content in CONTENTS.items()}
    assert dict(checked_files(package, expected)) == CONTENTS


def test_a_file_with_another_hash_raises(package):
    with pytest.raises(ValueError, match=rf'usr/a\.png has SHA-256 {sha256(b"aaaa")}, expected 0'):
        list(checked_files(package, {'usr/a.png': '0' * 64}))


def test_missing_files_raise(package):
    with pytest.raises(ValueError, match=r'does not contain usr/c\.png, usr/link\.png'):
        list(checked_files(package, {'usr/link.png': '0' * 64, 'usr/c.png': '0' * 64}))


@pytest.mark.parametrize('end', [0, 50, -60])
def test_a_truncated_package_raises(package, end):
    package.write_bytes(package.read_bytes()[:end])
    with pytest.raises(ValueError, match='cannot be unpacked'):
        list(files(package, accept_all))


def test_a_debian_package_without_dpkg_raises(deb, monkeypatch):
    monkeypatch.setenv('PATH', '')
    with pytest.raises(FileNotFoundError, match='install the package dpkg'):
        list(files(deb, accept_all))
