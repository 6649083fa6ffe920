"""Hosts: network namespaces of this machine, joined by the relay."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from superpoint_rknn.processes import Process, ProcessError, ProcessGroup

RELAY = Path(__file__).with_name('relay.py')
TIMEOUT = 10.0  # [s] to create a namespace or device
PROGRAMS = {'ip': 'iproute2', 'nsenter': 'util-linux', 'unshare': 'util-linux'}
# A tmpfs, since processes of two hosts must not see each other's shared memory.
KEEPER = 'mount -t tmpfs tmpfs /dev/shm && ip link set lo up && echo ready && exec cat'


def missing() -> str | None:
    """Return what the network namespaces need and this machine lacks; None if nothing."""
    if os.geteuid() != 0:
        return 'network namespaces need root: run it with sudo'
    if not os.path.exists('/dev/net/tun'):
        return 'no /dev/net/tun: `modprobe tun`, or give the container that device'
    for program, package in PROGRAMS.items():
        if shutil.which(program) is None:
            return f'no command {program}: install {package}'
    return None


class Host:
    """
    A network namespace with a shared memory of its own.

    It lives as long as its processes: nothing is left when the group ends, even by SIGKILL.
    """

    def __init__(self, group: ProcessGroup, name: str, address: str):
        self.name = name
        self.address = address
        self.device = f'tun_{name}'
        self._group = group
        create = ('unshare', '--net', '--mount', '--propagation', 'private', 'sh', '-c', KEEPER)
        self._keeper = group.start(f'{name}_host', *create, pipes=True)
        group.read_line(self._keeper, TIMEOUT)

    @property
    def pid(self) -> int:
        """Id of a process in the namespaces."""
        return self._keeper.pid

    def start(self, name: str, *command: object, **variables: str) -> Process:
        """Start a command on this host; variables: further environment variables."""
        return self._group.start(
            f'{self.name}_{name}',
            *('nsenter', f'--target={self.pid}', '--net', '--mount', '--', *command),
            pipes=True,
            variables=variables,
        )

    def run_ip(self, *arguments: str) -> str:
        """Run `ip` in the namespace; return its output. Raises ProcessError."""
        return _run('nsenter', f'--target={self.pid}', '--net', 'ip', *arguments)

    def connect(self) -> None:
        """Set up the device, which was moved to this namespace."""
        self.run_ip('link', 'set', self.device, 'addrgenmode', 'none', 'up')
        self.run_ip('address', 'add', f'{self.address}/24', 'dev', self.device)
        self.run_ip('route', 'add', '224.0.0.0/4', 'dev', self.device)

    def device_drops(self) -> int:
        """Return how many packets the device dropped since the relay did not read them."""
        (link,) = json.loads(self.run_ip('-json', '-statistics', 'link', 'show', self.device))
        return link['stats64']['tx']['dropped']


class Network:
    """
    Hosts that are joined by a relay.

    names: of the hosts. limits: arguments of relay.py.
    Raises ProcessError.
    """

    def __init__(self, group: ProcessGroup, names: Sequence[str], limits: Sequence[object]):
        self._group = group
        self.hosts = [
            Host(group, name, f'10.99.0.{number}') for number, name in enumerate(names, 1)
        ]
        devices = [f'{host.device}={host.address}' for host in self.hosts]
        # In a namespace of its own, so that the devices never appear among those of the machine.
        relay = ('unshare', '--net', sys.executable, RELAY, *devices, *limits)
        self._relay = group.start('relay', *relay, pipes=True)
        group.read_line(self._relay, TIMEOUT)
        for host in self.hosts:
            _run(
                *('nsenter', f'--target={self._relay.pid}', '--net'),
                *('ip', 'link', 'set', host.device, 'netns', str(host.pid)),
            )
            host.connect()

    def counts(self) -> dict[str, Counter[str]]:
        """Return the counts of the packets that each host has sent, see relay.py."""
        drops = {host.name: host.device_drops() for host in self.hosts}
        self._relay.write_line('counts')
        counts = json.loads(self._group.read_line(self._relay, TIMEOUT))
        return {
            host.name: Counter(counts[host.device], device_full=drops[host.name])
            for host in self.hosts
        }


def _run(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise ProcessError(f'{" ".join(command)}: {result.stderr.strip()}')
    return result.stdout
