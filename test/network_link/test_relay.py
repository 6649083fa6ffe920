"""The relay of the network test: losses, delay, rate, bounded queue, where packets go."""

import socket

import pytest
from relay import Link, Relay

RATE, DELAY = 8e6, 0.02  # [bit/s], a byte in a microsecond; [s]
HOSTS = {f'10.99.0.{number}': socket.inet_aton(f'10.99.0.{number}') for number in (1, 2, 3)}
MULTICAST = socket.inet_aton('239.255.0.1')


def packet(number, size=1000):
    return number.to_bytes(4, 'big').ljust(size, b'\0')


def numbers(packets):
    return [int.from_bytes(each[:4], 'big') for each in packets]


def link(loss=0.0, capacity=100_000, seed=1):
    return Link(RATE, DELAY, loss, capacity, seed)


def test_packets_arrive_in_order_after_transmission_and_delay():
    a_link = link()
    for number in range(3):
        a_link.put(10.0, packet(number))
    # 1000 bytes need 1 ms.
    assert a_link.next_arrival == pytest.approx(10.021)
    assert numbers(a_link.take(10.0209)) == []
    assert numbers(a_link.take(10.0221)) == [0, 1]
    a_link.put(10.5, packet(3))  # the bottleneck was idle meanwhile
    assert numbers(a_link.take(10.5)) == [2]
    assert a_link.next_arrival == pytest.approx(10.521)
    assert numbers(a_link.take(10.53)) == [3]
    assert a_link.next_arrival is None


def test_no_more_than_the_rate_passes():
    a_link = link()
    arrived = 0
    for millisecond in range(1000):  # twice the rate
        for _ in range(2):
            a_link.put(1e-3 * millisecond, packet(0))
        arrived += len(list(a_link.take(1e-3 * millisecond)))
    assert arrived * 1000 == pytest.approx((1 - DELAY) * RATE / 8, rel=0.01)


def test_the_queue_is_bounded_and_what_it_drops_is_counted():
    a_link = link(capacity=5000)
    for number in range(20):
        a_link.put(0.0, packet(number))
    assert a_link.counts == {'packets': 20, 'bytes': 20_000, 'queue_full': 15}
    assert numbers(a_link.take(1.0)) == [0, 1, 2, 3, 4]
    assert a_link.counts['arrived'] == 5


def test_losses_have_the_share_that_was_asked_for_and_depend_on_the_seed():
    def lost(seed):
        a_link = link(loss=0.05, seed=seed)
        for number in range(5000):
            a_link.put(0.002 * number, packet(number, 100))
        arrived = numbers(a_link.take(1e9))
        assert arrived == sorted(arrived)
        assert a_link.counts['lost'] == 5000 - len(arrived)
        return set(range(5000)) - set(arrived)

    assert len(lost(1)) == pytest.approx(250, abs=50)  # three standard deviations
    assert lost(1) == lost(1)
    assert lost(1) != lost(2)


@pytest.fixture
def devices():
    """Stand-ins of TUN devices: the end of the relay and the end of the host, by address."""
    pairs = {
        address: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for address in HOSTS.values()
    }
    for pair in pairs.values():
        for end in pair:
            end.setblocking(False)
    yield pairs
    for pair in pairs.values():
        for end in pair:
            end.close()


@pytest.mark.parametrize('has_multicast', [True, False])
def test_packets_go_to_their_destination_and_multicast_to_all_others(devices, has_multicast):
    first, second, _ = HOSTS.values()
    links = {address: link() for address in devices}
    handles = {address: ends[0].fileno() for address, ends in devices.items()}
    relay = Relay(handles, links, has_multicast)

    def ipv4(destination):
        return b'\x45'.ljust(16, b'\0') + destination

    for destination in (second, MULTICAST, socket.inet_aton('8.8.8.8')):
        devices[first][1].send(ipv4(destination))
    devices[first][1].send(b'\x60'.ljust(40, b'\0'))  # IPv6
    while links[first].counts['arrived'] < 3:
        relay.step(0.01)

    def received(address):
        packets = []
        while True:
            try:
                packets.append(devices[address][1].recv(100)[16:20])
            except BlockingIOError:
                return packets

    multicast = [MULTICAST] * has_multicast
    assert [received(address) for address in HOSTS.values()] == [
        [],
        [second, *multicast],
        multicast,
    ]
    assert links[first].counts['no_route'] == (1 if has_multicast else 2)
    assert links[first].counts['not_ipv4'] == 1
    assert links[first].counts['packets'] == 3


def test_a_device_that_takes_no_packet_is_counted(devices):
    first, second, _ = HOSTS.values()
    links = {address: link() for address in devices}
    relay = Relay({address: ends[0].fileno() for address, ends in devices.items()}, links)
    devices[second][1].close()
    devices[first][1].send(b'\x45'.ljust(16, b'\0') + second)
    while links[first].counts['arrived'] < 1:
        relay.step(0.01)
    assert links[first].counts['refused'] == 1
