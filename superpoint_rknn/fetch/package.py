"""Debian packages and wheels that are downloaded to read their files, never installed."""

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
    """A package could not be fetched; the message is one line: what, why and what to do."""


@dataclass(frozen=True)
class Package:
    """
    A package, pinned by its version or by the content of its files.

    version: of a wheel, exactly this one; of a Debian package, the preferred one, or empty where
    the files are the same in all versions.
    size: upper limit for the file [bytes].
    release: Debian release that has the package in this version.
    sha256: of a wheel's file. Files of Debian packages are checked by their own content.
    """

    name: str
    kind: Literal['deb', 'wheel']
    version: str
    size: int
    release: str = ''
    sha256: str = ''

    @property
    def pattern(self) -> str:
        """Glob pattern of the package's file name, in any version for a Debian package."""
        if self.kind == 'deb':
            return f'{self.name}_*.deb'
        return f'{self.name.replace("-", "_")}-{self.version}-*.whl'

    def by_hand(self, folder: Path) -> str:
        """Instruction for a machine that cannot fetch the package."""
        version = f', version {self.version}' if self.version else ''
        release = f', Debian {self.release}' if self.release else ''
        return f'correct this or put the file ({self.pattern}{version}{release}) into {folder}'


def run(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of apt or pip in a folder; FetchError if it is missing or takes too long."""
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
    """The line of a failed command's error output that says why; names a missing network."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if any(map(NO_NETWORK.search, lines)):
        return 'no network'
    errors = [line for line in lines if line.startswith(('E: ', 'ERROR: '))]
    if not errors or errors[0] == 'ERROR: Exception:':  # pip's traceback ends with the error
        errors = lines[-1:] or ['failed without a message']
    return errors[0].removeprefix('E: ').removeprefix('ERROR: ')
