"""Masks that can not be read do not block the executor, and the network learns nothing of them."""

import os
import threading
import time
from pathlib import Path
from random import Random

import blocked_time
import cv2
import numpy as np
import pytest
from blocked_time import LONGEST, BlockedTime, record_waits
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import Log
from rcl_interfaces.srv import SetParameters
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from ros_graph import TIMEOUT
from superpoint.test_superpoint_in_process import IMAGE, Bench

from superpoint_rknn import bounded_yaml
from superpoint_rknn.errors import NotReadyError
from superpoint_rknn.features import image
from superpoint_rknn.nodes.common import background_read, process
from superpoint_rknn.nodes.common.background_read import BackgroundRead, ReadTimeoutError
from superpoint_rknn.nodes.common.bring_up import BringUp
from superpoint_rknn.nodes.superpoint.node import SuperPointNode
from superpoint_rknn.nodes.superpoint.parameters import PARAMETERS as SUPERPOINT
from superpoint_rknn.nodes.tracker.node import TrackerNode
from superpoint_rknn.nodes.tracker.parameters import PARAMETERS as TRACKER


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


class HeldReads:
    """
    Reads of files, each of which waits until the test releases it.

    No read may begin in the main thread, which runs the executor. read: reads a file.
    """

    def __init__(self, read):
        self._read = read
        self._begun, self._released = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, name, limit):
        assert threading.current_thread() is not threading.main_thread(), name
        self._begun.release()
        self._released.acquire()
        return self._read(name, limit)

    def begun(self):
        """Return True, once, for each read that has begun."""
        return self._begun.acquire(blocking=False)

    def release(self):
        """Let one read go on."""
        self._released.release()


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
    good, large = str(tmp_path / 'good.png'), str(tmp_path / 'large.png')
    cv2.imwrite(good, np.full(IMAGE.shape, 255, np.uint8))
    noise = np.random.default_rng(0).integers(0, 256, (4000, 6000), np.uint8)
    cv2.imwrite(large, noise, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    files = [*hostile_files(tmp_path), str(dead), str(dead)]
    bench = Bench(graph).wait_ready()
    diagnostics = graph.collect(DiagnosticArray, '/diagnostics')
    rosout = graph.collect(Log, '/rosout')
    log = ''
    reads = HeldReads(image.read_regular)
    monkeypatch.setattr(image, 'read_regular', reads)
    waits = record_waits(monkeypatch)

    def set_mask(path):
        """Set a mask; an image is received while it is read."""
        timeout = 0.5 if path == str(dead) else 600.0  # [s] the others only have to be read
        monkeypatch.setattr(background_read, 'READ_TIMEOUT', timeout)
        (result,) = bench.node.set_parameters([Parameter('mask', value=path)])
        assert result.successful
        if path:
            graph.wait(reads.begun, f'{path} to be read')
            received = bench.counts()['received']
            bench.send()
            graph.wait(lambda: bench.counts()['received'] > received, 'an image')
            reads.release()

    def mask():
        return bench.node.values.settings[''].mask

    def has_logged(text):
        nonlocal log
        log += capfd.readouterr().err
        return text in log

    blocked = BlockedTime(graph.node)
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

    def is_reported():
        bench.process_images()  # else a warning of missing images might replace that of the mask
        return reported(diagnostics) == (DiagnosticStatus.WARN, failed)

    graph.wait(is_reported, 'the warning')
    assert not [m.msg for m in rosout if any(path in m.msg for path in files)]
    set_mask(large)
    graph.wait(lambda: mask().shape == noise.shape, large)
    set_mask(good)
    graph.wait(lambda: mask().shape == IMAGE.shape, good)
    set_mask('')
    graph.wait(lambda: mask() is None, 'no mask')
    bench.close()
    assert blocked.longest < LONGEST
    assert max(waits) < LONGEST


def hostile_values():
    """Values for the parameters of both nodes: right, wrong and huge ones."""
    random = Random(0)
    values = [1, -5, 2**62, 0.5, float('nan'), True, 'x' * 100_000, '/dev/zero', [0.1] * 10_000]
    names = sorted({parameter.name for parameter in (*SUPERPOINT, *TRACKER)} - {'use_sim_time'})
    for _ in range(10):
        for name in names:
            yield Parameter(name, value=random.choice(values)).to_parameter_msg()


def test_no_callback_is_blocked_by_parameters(graph, monkeypatch):
    bench = Bench(graph).wait_ready()
    tracker = TrackerNode(context=graph.context)
    graph.executor.add_node(tracker)
    assert tracker.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert tracker.trigger_activate() == TransitionCallbackReturn.SUCCESS
    nodes = ('superpoint', 'tracker')
    clients = [graph.node.create_client(SetParameters, f'{n}/set_parameters') for n in nodes]
    for client in clients:
        graph.wait(client.service_is_ready, client.srv_name)
    blocked, waits = BlockedTime(graph.node), record_waits(monkeypatch)
    results = []
    for value in hostile_values():
        futures = [c.call_async(SetParameters.Request(parameters=[value])) for c in clients]
        graph.wait(lambda: all(f.done() for f in futures), value.name)  # noqa: B023
        results += [result for future in futures for result in future.result().results]
    assert 0 < sum(result.successful for result in results) < len(results) / 2
    assert all(result.successful or len(result.reason) < 500 for result in results)
    tracker.shut_down()
    graph.executor.remove_node(tracker)
    tracker.destroy_node()
    bench.close()
    assert blocked.longest < LONGEST
    assert max(waits) < LONGEST


def published_texts(graph, kind, name, path):
    """Log and diagnostics texts on the network of a node that starts after a file was set."""
    texts = set()
    subscriptions = [
        graph.node.create_subscription(Log, '/rosout', lambda m: texts.add(m.msg), 10),
        graph.node.create_subscription(
            DiagnosticArray,
            '/diagnostics',
            lambda m: texts.update(s.message for s in m.status),
            10,
        ),
    ]
    node = kind(context=graph.context)
    node.prepare()  # as run_nodes does: an import would show as loading
    graph.executor.add_node(node)
    assert node.set_parameters([Parameter(name, value=str(path))])[0].successful
    bring_up = BringUp([node])
    while node.refusal is None:
        bring_up.step()
    for _ in range(20):
        bring_up.step()
        graph.spin(lambda: False, 0.05)
    node.shut_down()
    graph.executor.remove_node(node)
    node.destroy_node()
    for subscription in subscriptions:
        graph.node.destroy_subscription(subscription)
    return texts


@pytest.mark.parametrize(
    ('kind', 'name', 'secret'),
    [
        (SuperPointNode, 'mask', '/etc/passwd'),
        (SuperPointNode, 'model', '/etc/passwd'),
        (SuperPointNode, 'model', 'secret.onnx'),
        (TrackerNode, 'calibration', '/etc/passwd'),
    ],
)
def test_a_stranger_does_not_learn_which_files_exist(graph, tmp_path, kind, name, secret):
    secret = tmp_path / secret
    if not secret.exists():
        secret.write_text('no model')
    of_secret = published_texts(graph, kind, name, secret)
    of_nothing = published_texts(graph, kind, name, secret.with_name('nothing' + secret.suffix))
    assert any('see the log on this computer' in text for text in of_secret)
    assert of_secret == of_nothing
    assert not any(str(tmp_path) in text for text in of_secret)


def test_blocked_reads_are_limited(dead, monkeypatch):
    monkeypatch.setattr(background_read, 'READ_TIMEOUT', 0.01)
    reads = [BackgroundRead(lambda: image.read_mask(dead), 'mask: dead') for _ in range(20)]
    assert all(read.wait(1) for read in reads)
    assert threading.active_count() < 20
    with pytest.raises(ReadTimeoutError, match=r'^mask: dead: not read within 0\.01 s: is'):
        reads[0].result()
    with pytest.raises(ReadTimeoutError, match=r'^mask: dead: not read: 5 earlier reads'):
        reads[-1].result()


def test_no_callback_is_blocked_by_a_start(graph):
    started = graph.start(blocked_time.__file__)
    assert started.wait(TIMEOUT) == 0
    words = started.log.read_text().split()
    assert words[words.index('imported:') + 1] == 'True'
    assert float(words[words.index('longest:') + 1]) < LONGEST


@pytest.mark.parametrize(
    ('kind', 'name'), [(SuperPointNode, 'mask'), (TrackerNode, 'calibration')]
)
def test_a_dead_mount_at_start_is_reported_and_tried_again(graph, dead, monkeypatch, kind, name):
    monkeypatch.setattr(background_read, 'READ_TIMEOUT', 2.0)
    monkeypatch.setattr(bounded_yaml, 'read_regular', image.read_regular)
    node = kind(context=graph.context, parameter_overrides=[Parameter(name, value=str(dead))])
    process._index_modules_by_file()  # as run_nodes does
    bring_up = BringUp([node])
    durations, waits = [], record_waits(monkeypatch)
    while not durations or node.refusal is None:
        start = time.thread_time()
        bring_up.step()
        durations.append(time.thread_time() - start)
    assert str(node.refusal).startswith(name)
    assert 'not read within 2 s' in str(node.refusal)
    assert isinstance(node.refusal, NotReadyError)
    assert max(durations) < LONGEST, sorted(durations)[-5:]
    assert max(waits) < LONGEST
    node.shut_down()
    node.destroy_node()
