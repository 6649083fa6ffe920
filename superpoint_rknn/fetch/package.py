"""Debian packages and wheels that are downloaded to read their files; never installed."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

TIMEOUT = 1800  # [s] for one command of apt or pip
NO_NETWORK = re.compile(
    'temporary failure (resolving|in name resolution)|could not (resolve|connect)|'
    'unable to connect|failed to establish|network is unreachable|no route to host|'
    'connection (refused|timed out|failed)|connecttimeout',
    re.IGNORECASE,
)


class FetchError(OSError):
    """A package can't be fetched; the message is one line: what, why, what to do."""


@dataclass(frozen=True)
class Package:
    """
    A package, pinned by its version or by the content of its files.

    version: required version of a wheel; preferred version of a Debian package, '' if the wanted
    files are equal in all versions.
    size: maximum size of the package file [bytes].
    release: Debian release that has the package in this version.
    sha256: of the wheel. For Debian packages, the contained files are checked instead.
    """

    name: str
    kind: Literal['deb', 'wheel']
    version: str
    size: int
    release: str = ''
    sha256: str = ''

    @property
    def pattern(self) -> str:
        """Glob pattern of the package file name; of any version for a Debian package."""
        if self.kind == 'deb':
            return f'{self.name}_*.deb'
        return f'{self.name.replace("-", "_")}-{self.version}-*.whl'

    def by_hand(self, folder: Path) -> str:
        """Return the advice how to get the package by hand."""
        version = f', version {self.version}' if self.version else ''
        release = f', Debian {self.release}' if self.release else ''
        return f'correct this or put the file ({self.pattern}{version}{release}) into {folder}'


def run(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder. Raises FetchError after TIMEOUT."""
    try:
        return subprocess.run(
            ['env', 'LC_ALL=C', *command],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
    except subprocess.TimeoutExpired as error:
        raise FetchError(f'{command[0]} took longer than {TIMEOUT} s') from error


def reason(output: str) -> str:
    """Return the relevant line of a failed command's stderr; 'no network' if that is the cause."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if any(map(NO_NETWORK.search, lines)):
        return 'no network'
    errors = [line for line in lines if line.startswith(('E: ', 'ERROR: '))]
    if not errors or errors[0] == 'ERROR: Exception:':  # pip's traceback ends with the error
        errors = lines[-1:] or ['failed without a message']
    return errors[0].removeprefix('E: ').removeprefix('ERROR: ')
