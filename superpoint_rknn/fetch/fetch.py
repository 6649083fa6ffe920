"""Fetch packages into a cache with apt and pip, as configured on this machine."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from superpoint_rknn.fetch.apt import download_deb
from superpoint_rknn.fetch.archive import sha256_of
from superpoint_rknn.fetch.package import FetchError, Package, reason, run

# Platform of the pinned wheels, whatever the Python and machine that run this.
PLATFORM = ('--platform=manylinux_2_17_x86_64', '--python-version=3.11', '--implementation=cp')


def fetch(package: Package, folder: Path) -> Path:
    """
    Return the path of a package file in `folder`; download it unless it exists.

    An interrupted download leaves no files. Raises FetchError, which says what to do, if the
    package can't be fetched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if path := _found(package, folder):
        return path
    print(f'fetching {package.name} (up to {package.size / 1e6:.0f} MB)', file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix='.fetch', dir=folder) as name:
        temporary = Path(name)
        try:
            if package.kind == 'deb':
                download_deb(package, temporary)
            else:
                download_wheel(package, temporary)
            path = _found(package, temporary)
            if path is None:
                raise FetchError(f'the download has no {package.pattern} of the expected content')
        except OSError as error:
            kind = 'Debian package' if package.kind == 'deb' else 'wheel'
            advice = package.by_hand(folder)
            raise FetchError(f'{kind} {package.name}: {error}; {advice}') from error
        return path.rename(folder / path.name)


def download_wheel(package: Package, folder: Path) -> None:
    """Download a wheel to an empty folder. Raises FetchError."""
    # The kernel refuses to write files beyond this size.
    limit = ['prlimit', f'--fsize={package.size}', '--']
    pip = [sys.executable, '-m', 'pip', 'download', '-q', '--disable-pip-version-check']
    options = ['--retries=1', '--no-cache-dir', '--no-deps', '--only-binary=:all:', *PLATFORM]
    done = run([*limit, *pip, *options, f'{package.name}=={package.version}'], folder)
    if done.returncode:
        raise FetchError(reason(done.stderr))


def cache_folder(name: str) -> Path:
    """Return a subfolder of the user's cache; it may not exist yet."""
    cache = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(cache, 'superpoint_rknn', name)


def _found(package: Package, folder: Path) -> Path | None:
    for path in sorted(folder.glob(package.pattern), reverse=True):
        if not package.sha256 or sha256_of(path) == package.sha256:
            return path
    return None
