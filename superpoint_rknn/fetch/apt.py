"""Download Debian packages with apt-get, from the configured mirror."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from superpoint_rknn.fetch.package import NO_NETWORK, FetchError, Package, reason, run

OPTIONS = ('-q', '-o', 'Acquire::Retries=1', '-o', 'Acquire::http::Timeout=20')
KEYRING = Path('/usr/share/keyrings/debian-archive-keyring.gpg')


@dataclass(frozen=True)
class Offer:
    """A package in the package lists of `apt`; specification: NAME or NAME=VERSION."""

    apt: Apt
    specification: str
    size: int  # [bytes]


class Apt:
    """
    apt-get with the package lists of the machine, or with its own (`with_own_lists`).

    Own lists need no root and do not change the machine.
    """

    def __init__(self, *options: str):
        self._options = (*OPTIONS, *options)
        self.problem = ''  # reason why the package lists may be incomplete

    @classmethod
    def with_own_lists(cls, folder: Path, sources: str | None = None) -> Apt:
        """
        Download package lists into a new folder.

        sources: content of a sources.list; None: the machine's sources.
        """
        for name in ('state/lists/partial', 'cache/archives/partial'):
            (folder / name).mkdir(parents=True)
        options = [f'Dir::State={folder}/state', f'Dir::Cache={folder}/cache']
        if sources is not None:
            (folder / 'sources.list').write_text(sources)
            options += [
                f'Dir::Etc::SourceList={folder}/sources.list',
                'Dir::Etc::SourceParts=/dev/null',
            ]
        apt = cls(*(word for option in options for word in ('-o', option)))
        done = run(apt.command('update'), folder)
        if done.returncode or NO_NETWORK.search(done.stderr):
            apt.problem = reason(done.stderr)
        return apt

    def command(self, *arguments: str) -> list[str]:
        """Return a command line of apt-get."""
        return ['apt-get', *self._options, *arguments]

    def offer(self, specification: str) -> Offer | None:
        """Look up NAME or NAME=VERSION in the package lists; None if they do not contain it."""
        done = run(self.command('--print-uris', 'download', specification), Path('/'))
        lines = [line.split() for line in done.stdout.splitlines() if line.startswith("'")]
        if done.returncode or not lines:
            return None
        return Offer(self, specification, int(lines[0][2]))

    def debian_mirror(self) -> str | None:
        """Return the URL of the Debian mirror in the configured sources; None if there is none."""
        show = ['indextargets', '--format', '$(LABEL) $(REPO_URI)', 'Created-By: Packages']
        for line in run(self.command(*show), Path('/')).stdout.splitlines():
            label, _, address = line.partition(' ')
            if label == 'Debian':
                return address
        return None


def find_offer(package: Package, folder: Path) -> Offer:
    """
    Find a Debian package in the configured sources, then in `package.release` on the mirror.

    The preferred version takes precedence over others. folder: empty, for package lists.
    Raises FetchError if no release has the package.
    """
    for program in ('apt-get', 'dpkg-deb'):
        if shutil.which(program) is None:
            raise FetchError(f'this machine has no {program}')
    exact = f'{package.name}={package.version}' if package.version else package.name
    apt = Apt()
    if not apt.offer(package.name):  # a fresh machine has no package lists
        apt = Apt.with_own_lists(folder / 'machine')
    if offer := apt.offer(exact):
        return offer
    problem = apt.problem
    if package.release and (mirror := apt.debian_mirror()):
        signed = f'[signed-by={KEYRING}] ' if KEYRING.is_file() else ''
        sources = f'deb {signed}{mirror} {package.release} main\n'
        of_release = Apt.with_own_lists(folder / 'release', sources)
        if offer := of_release.offer(exact) or of_release.offer(package.name):
            return offer
        problem = of_release.problem
    if offer := apt.offer(package.name):
        return offer
    raise FetchError(problem or "the machine's apt sources do not have it")


def download_deb(package: Package, folder: Path) -> None:
    """Download the file of a Debian package to an empty folder. Raises FetchError."""
    (folder / 'lists').mkdir()
    offer = find_offer(package, folder / 'lists')
    if offer.size > package.size:
        raise FetchError(f'{offer.size:,} bytes offered, at most {package.size:,} expected')
    done = run(offer.apt.command('download', offer.specification), folder)
    if done.returncode:
        raise FetchError(reason(done.stderr))
