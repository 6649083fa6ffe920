"""Masks that can not be read do not block the executor, and the network learns nothing of them."""

import os
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import Log
from rclpy.parameter import Parameter
from superpoint.test_superpoint_in_process import IMAGE, Bench

from superpoint_rknn import bounded_yaml
from superpoint_rknn.errors import NotReadyError
from superpoint_rknn.features import image
from superpoint_rknn.nodes.common import background_read
from superpoint_rknn.nodes.common.background_read import BackgroundRead, ReadTimeoutError
from superpoint_rknn.nodes.common.bring_up import BringUp
from superpoint_rknn.nodes.superpoint.node import SuperPointNode
from superpoint_rknn.nodes.tracker.node import TrackerNode

PERIOD = 0.005  # [s] of the heartbeat
LONGEST = 0.05  # [s] that a callback may take
# [s] at start, while loading the model holds the interpreter lock; the read waits longer
LONGEST_AT_START = 0.6


class Heartbeat:
    """A timer of the executor that measures for how long other callbacks blocked it."""

    def __init__(self, node):
        self.longest = 0.0  # [s]
        self._last = self.now()
        node.create_timer(PERIOD, self._beat)

    def _beat(self):
        now = self.now()
        self.longest = max(self.longest, now - self._last - PERIOD)
        self._last = now

    @staticmethod
    def now():
        """Time [s] without that in which this thread waited for a core."""
        waited = int(Path('/proc/thread-self/schedstat').read_text().split()[1])
        return time.monotonic() - waited / 1e9


@pytest.fixture
def dead(monkeypatch, tmp_path):
    """A path whose file is not read until the test ends, as on a dead mount."""
    path, end = tmp_path / 'dead' / 'mask.png', threading.Event()
    read = image.read_regular

    def read_or_wait(name, limit):
        if Path(name) == path:
            end.wait()
        return read(name, limit)

    monkeypatch.setattr(image, 'read_regular', read_or_wait)
    yield path
    end.set()


def hostile_files(folder):
    """Paths of a FIFO, devices, a huge file, no image, a folder and nothing."""
    os.mkfifo(folder / 'fifo')
    with open(folder / 'sparse.png', 'wb') as file:
        file.truncate(1 << 40)
    (folder / 'text.png').write_text('no image')
    names = ('fifo', 'sparse.png', 'text.png', 'nothing.png')
    return ['/dev/zero', '/dev/tty', str(folder), *(str(folder / name) for name in names)]


def reported(messages):
    """(level, message) of the camera in the newest /diagnostics."""
    statuses = [s for m in messages for s in m.status if s.name.endswith(': camera')]
    return (statuses[-1].level, statuses[-1].message) if statuses else None


def test_no_callback_is_blocked_by_hostile_masks(graph, tmp_path, dead, monkeypatch, capfd):
    monkeypatch.setattr(background_read, 'READ_TIMEOUT', 2.0)
    good, large = str(tmp_path / 'good.png'), str(tmp_path / 'large.png')
    cv2.imwrite(good, np.full(IMAGE.shape, 255, np.uint8))
    noise = np.random.default_rng(0).integers(0, 256, (5000, 8000), np.uint8)
    cv2.imwrite(large, noise, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    files = [*hostile_files(tmp_path), str(dead), str(dead)]
    bench = Bench(graph).wait_ready()
    diagnostics = graph.collect(DiagnosticArray, '/diagnostics')
    rosout = graph.collect(Log, '/rosout')
    log = ''

    def set_mask(path):
        (result,) = bench.node.set_parameters([Parameter('mask', value=path)])
        assert result.successful

    def mask():
        return bench.node.values.settings[''].mask

    def has_logged(text):
        nonlocal log
        log += capfd.readouterr().err
        return text in log

    heartbeat = Heartbeat(graph.node)
    set_mask(good)
    graph.wait(lambda: mask() is not None, 'the mask')
    before = mask()
    for path in files:
        log = ''
        set_mask(path)
        graph.wait(lambda: has_logged('the previous mask still applies'), path)
        bench.process_images()
        assert path in log
        assert log.count('mask: ') == 1
        assert mask() is before
    failed = 'mask: not read, the previous one still applies: see the log on this computer'
    graph.wait(lambda: reported(diagnostics) == (DiagnosticStatus.WARN, failed), 'the warning')
    assert not [m.msg for m in rosout if any(path in m.msg for path in files)]
    set_mask(large)
    graph.wait(lambda: mask().shape == noise.shape, large)
    set_mask(good)
    graph.wait(lambda: mask().shape == IMAGE.shape, good)
    set_mask('')
    graph.wait(lambda: mask() is None, 'no mask')
    bench.close()
    assert heartbeat.longest < LONGEST


def test_blocked_reads_are_limited(dead, monkeypatch):
    monkeypatch.setattr(background_read, 'READ_TIMEOUT', 0.01)
    reads = [BackgroundRead(lambda: image.read_mask(dead), 'mask: dead') for _ in range(20)]
    assert all(read.wait(1) for read in reads)
    assert threading.active_count() < 20
    with pytest.raises(ReadTimeoutError, match=r'^mask: dead: not read within 0\.01 s: is'):
        reads[0].result()
    with pytest.raises(ReadTimeoutError, match=r'^mask: dead: not read: 5 earlier reads'):
        reads[-1].result()


@pytest.mark.parametrize(
    ('kind', 'name'), [(SuperPointNode, 'mask'), (TrackerNode, 'calibration')]
)
def test_a_dead_mount_at_start_is_reported_and_tried_again(graph, dead, monkeypatch, kind, name):
    monkeypatch.setattr(background_read, 'READ_TIMEOUT', 2.0)
    monkeypatch.setattr(bounded_yaml, 'read_regular', image.read_regular)
    node = kind(context=graph.context, parameter_overrides=[Parameter(name, value=str(dead))])
    bring_up = BringUp([node])
    durations = []
    while not durations or node.refusal is None:
        start = Heartbeat.now()
        bring_up.step()
        durations.append(Heartbeat.now() - start)
    assert str(node.refusal).startswith(name)
    assert 'not read within 2 s' in str(node.refusal)
    assert isinstance(node.refusal, NotReadyError)
    assert max(durations) < LONGEST_AT_START
    node.shut_down()
    node.destroy_node()
