"""The network test: what it needs, its figures, the two profiles, and one short run as root."""

import os
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip('rclpy')
import hosts
import network_test
from link_cases import CASES, PROFILES, link_figures, measure, topic_figures
from noise import noise_recording

from superpoint_rknn.bench.recordings import write_recording

CONFIG = Path(__file__).resolve().parents[2] / 'config'


@pytest.mark.parametrize(
    ('module', 'name', 'value', 'reason'),
    [
        ('os', 'geteuid', lambda: 1000, 'network namespaces need root: run it with sudo'),
        ('os.path', 'exists', lambda path: False, 'no /dev/net/tun'),
        ('shutil', 'which', lambda program: None, 'no command ip: install iproute2'),
    ],
)
def test_what_is_missing_is_one_line(monkeypatch, capsys, module, name, value, reason):
    monkeypatch.setattr('os.geteuid', lambda: 0)
    monkeypatch.setattr('os.path.exists', lambda path: True)
    monkeypatch.setattr(f'{module}.{name}', value)
    monkeypatch.setattr('sys.argv', ['network_test.py', '--recordings', 'none'])
    assert network_test.main() == 1
    error = capsys.readouterr().err
    assert error.startswith(f'network-test: {reason}')
    assert error.count('\n') == 1


def test_figures_of_a_topic():
    results = {'latencies': [0.1, 0.2, 0.3], 'sizes': [1000, 1000, 2000]}
    figures = topic_figures(results, sent=4, seconds=2.0)
    assert (figures['share'], figures['p50_ms'], figures['kbyte_per_s']) == (0.75, 200.0, 2.0)
    assert figures['bytes'] == 1333
    nothing = topic_figures({'latencies': [], 'sizes': []}, sent=4, seconds=2.0)
    assert (nothing['share'], nothing['p95_ms']) == (0.0, None)


def test_figures_of_a_link():
    # What the device drops has not reached the relay, and is not among its packets.
    counts = Counter(packets=1000, bytes=1_000_000, queue_full=250, device_full=1000)
    figures = link_figures([counts, Counter(packets=0)], seconds=2.0)
    assert figures == {'sent_mbit_s': 8.0, 'dropped_mbit_s': 5.0}


def test_the_profiles_for_both_versions_of_fast_dds_are_the_same():
    def settings(name):
        return (CONFIG / name).read_text().partition('-->')[2]

    newer = settings('fastdds_network.xml')
    for name, older in (
        ('heartbeat_period', 'heartbeatPeriod'),
        ('nack_response_delay', 'nackResponseDelay'),
    ):
        assert newer.count(f'{name}>') == 2
        newer = newer.replace(name, older)
    assert settings('fastdds2_network.xml') == newer


@pytest.mark.slow
@pytest.mark.skipif(hosts.missing() is not None, reason=str(hosts.missing()))
def test_keypoints_and_tracks_cross_the_link(tmp_path):
    write_recording(tmp_path / 'noise.npz', noise_recording())
    before = set(os.listdir('/sys/class/net'))
    row = measure(tmp_path / 'noise.npz', CASES['tracks'], PROFILES['network'], 0.01, 2.0)
    for topic in ('/keypoints', '/tracks'):
        figures = row['topics'][topic]
        assert 0 < figures['received'] <= figures['published'] <= row['images'][0]
        assert figures['p50_ms'] > 20  # the delay: nothing went around the link
    assert row['packets']['robot0']['lost'] > 0
    assert set(os.listdir('/sys/class/net')) == before
