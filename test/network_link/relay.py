"""
Join TUN devices by links with a limited rate, a delay and random losses.

Each device is one host. Its packets pass a link of their own, a bottleneck with a bounded queue,
and go to the device whose address is the destination; multicast goes to all others.
The devices are created in this process's network namespace, from where they can be moved.
Prints a line when they exist, and for each line on stdin the counts of each device's packets as
JSON. The end of stdin, SIGINT or SIGTERM ends the relay.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import random
import select
import signal
import socket
import struct
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator

MTU = 1500  # [bytes]
QUEUE = 256_000  # [bytes] that wait for a bottleneck; 0.1 s at 20 Mbit/s
BATCH = 64  # packets that are read from one device at a time
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000  # linux/if_tun.h


class Link:
    """
    One direction of a link: a bottleneck with a bounded queue, then a delay and random losses.

    rate: [bit/s]. delay: [s]. loss: probability that a packet is lost behind the bottleneck.
    capacity: of the queue [bytes]. seed: of the losses. All times are [s] on one clock.
    """

    def __init__(self, rate: float, delay: float, loss: float, capacity: int, seed: int):
        self.counts: Counter[str] = Counter()
        self._rate = rate
        self._delay = delay
        self._loss = loss
        self._capacity = capacity
        self._random = random.Random(seed)
        self._free = 0.0  # when the bottleneck has sent what was put
        self._sent: deque[tuple[float, bytes]] = deque()  # packets and their times of arrival

    def put(self, now: float, packet: bytes) -> None:
        """Send a packet; it arrives later, or is counted as lost or as dropped."""
        self.counts['packets'] += 1
        self.counts['bytes'] += len(packet)
        start = max(now, self._free)
        if (start - now) * self._rate / 8 + len(packet) > self._capacity:
            self.counts['queue_full'] += 1
            return
        self._free = start + 8 * len(packet) / self._rate
        if self._random.random() < self._loss:
            self.counts['lost'] += 1
            return
        self._sent.append((self._free + self._delay, packet))

    def take(self, now: float) -> Iterator[bytes]:
        """Yield the packets that have arrived, in the order in which they were put."""
        while self._sent and self._sent[0][0] <= now:
            self.counts['arrived'] += 1
            yield self._sent.popleft()[1]

    @property
    def next_arrival(self) -> float | None:
        """Time of the next arrival; None if no packet is under way."""
        return self._sent[0][0] if self._sent else None


def open_tun(name: str) -> int:
    """Create a TUN device; it exists until the returned handle is closed. Raises OSError."""
    handle = os.open('/dev/net/tun', os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(handle, TUNSETIFF, struct.pack('16sH22x', name.encode(), IFF_TUN | IFF_NO_PI))
    return handle


class Relay:
    """
    Pass packets between TUN devices.

    handles: of the devices, by IPv4 address. links: one for each device.
    has_multicast: deliver multicast packets, else count them as no_route.
    """

    def __init__(
        self, handles: dict[bytes, int], links: dict[bytes, Link], has_multicast: bool = True
    ):
        self._handles = handles
        self._links = links
        self._has_multicast = has_multicast

    def step(self, timeout: float) -> None:
        """Wait for packets, at most `timeout` [s]; send what arrived and deliver what is due."""
        arrivals = [t for link in self._links.values() if (t := link.next_arrival) is not None]
        if arrivals:
            timeout = min(timeout, max(0.0, min(arrivals) - time.monotonic()))
        ready = select.select([*self._handles.values()], [], [], timeout)[0]
        for address, handle in self._handles.items():
            link = self._links[address]
            if handle in ready:
                self._read(handle, link)
            for packet in link.take(time.monotonic()):
                self._deliver(address, packet, link)

    def _read(self, handle: int, link: Link) -> None:
        for _ in range(BATCH):
            try:
                packet = os.read(handle, 65536)
            except BlockingIOError:
                return
            if packet[0] >> 4 == 4:
                link.put(time.monotonic(), packet)
            else:
                link.counts['not_ipv4'] += 1

    def _deliver(self, source: bytes, packet: bytes, link: Link) -> None:
        destination = packet[16:20]
        is_multicast = destination[0] >> 4 == 14  # 224.0.0.0/4
        if destination in self._handles:
            targets = [destination]
        elif is_multicast and self._has_multicast:
            targets = [address for address in self._handles if address != source]
        else:
            targets = []
            link.counts['no_route'] += 1
        for target in targets:
            try:
                os.write(self._handles[target], packet)
            except OSError:  # the device is down, or its queue is full
                link.counts['refused'] += 1


def main() -> int:
    """Run from the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('devices', nargs='+', help='NAME=IPV4-ADDRESS')
    parser.add_argument('--rate', type=float, required=True, help='[bit/s]')
    parser.add_argument('--delay', type=float, required=True, help='[s]')
    parser.add_argument('--loss', type=float, required=True, help='share of packets, 0 to 1')
    parser.add_argument('--queue', type=int, default=QUEUE, help='[bytes]')
    parser.add_argument('--no-multicast', action='store_true', help='as many access points do')
    parser.add_argument('--seed', type=int, default=1)
    arguments = parser.parse_args()
    names, addresses = zip(*(text.split('=') for text in arguments.devices), strict=True)
    keys = [socket.inet_aton(address) for address in addresses]
    handles = {key: open_tun(name) for key, name in zip(keys, names, strict=True)}
    links = {
        key: Link(
            arguments.rate,
            arguments.delay,
            arguments.loss,
            arguments.queue,
            arguments.seed + number,
        )
        for number, key in enumerate(keys)
    }
    relay = Relay(handles, links, not arguments.no_multicast)
    ended: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: ended.append(number))
    os.setpriority(os.PRIO_PROCESS, 0, -20)  # a link does not wait for the CPU
    print('ready', flush=True)
    while not ended:
        relay.step(0.1)
        if select.select([sys.stdin], [], [], 0)[0]:
            if not sys.stdin.readline():
                break
            counts = {name: links[key].counts for name, key in zip(names, keys, strict=True)}
            print(json.dumps(counts), flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
