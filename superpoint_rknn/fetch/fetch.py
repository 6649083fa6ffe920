"""Fetch packages into a cache, through apt and pip as this machine has them configured."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from superpoint_rknn.fetch.apt import download_deb
from superpoint_rknn.fetch.archive import sha256_of
from superpoint_rknn.fetch.package import FetchError, Package, reason, run

# The wheels that are pinned, whatever Python and machine run this.
PLATFORM = ('--platform=manylinux_2_17_x86_64', '--python-version=3.11', '--implementation=cp')


def fetch(package: Package, folder: Path) -> Path:
    """
    Path of a package's file in `folder`, downloaded unless a file of that name is there.

    An interrupted download leaves nothing behind.
    Raises FetchError, with what to do, if the package cannot be fetched.
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
    """Download a wheel into an empty folder; FetchError if that fails."""
    # The kernel stops a file that grows beyond the limit.
    limit = ['prlimit', f'--fsize={package.size}', '--']
    pip = [sys.executable, '-m', 'pip', 'download', '-q', '--disable-pip-version-check']
    options = ['--retries=1', '--no-cache-dir', '--no-deps', '--only-binary=:all:', *PLATFORM]
    done = run([*limit, *pip, *options, f'{package.name}=={package.version}'], folder)
    if done.returncode:
        raise FetchError(reason(done.stderr))


def cache_folder(name: str) -> Path:
    """Folder of this user's cache for what is fetched, by its name; may not exist."""
    cache = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(cache, 'superpoint_rknn', name)


def _found(package: Package, folder: Path) -> Path | None:
    for path in sorted(folder.glob(package.pattern), reverse=True):
        if not package.sha256 or sha256_of(path) == package.sha256:
            return path
    return None
