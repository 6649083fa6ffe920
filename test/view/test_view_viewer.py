"""The bounded queue and the process of the viewer; the process is replaced by a small program."""

import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from superpoint_rknn.view import records, viewer
from superpoint_rknn.view.viewer import RecordQueue, Viewer


def test_a_full_queue_discards_the_oldest_records():
    queue = RecordQueue(max_records=3)
    for number in range(5):
        queue.put(bytes([number]))
    assert queue.dropped == 2
    assert [queue.take() for _ in range(3)] == [b'\x02', b'\x03', b'\x04']


def test_the_bytes_in_the_queue_are_bounded():
    queue = RecordQueue(max_records=100, max_bytes=10)
    for text in (b'aaaa', b'bbbb', b'cccc'):
        queue.put(text)
    assert queue.dropped == 1
    assert queue.take() == b'bbbb'
    queue.put(b'dddddd')
    assert queue.dropped == 1
    assert [queue.take(), queue.take()] == [b'cccc', b'dddddd']


def test_a_closed_queue_is_emptied_first():
    queue = RecordQueue()
    queue.put(b'a')
    queue.close()
    assert [queue.take(), queue.take()] == [b'a', None]


def test_close_wakes_a_waiting_thread():
    queue, taken = RecordQueue(), []
    thread = threading.Thread(target=lambda: taken.append(queue.take()))
    thread.start()
    queue.close()
    thread.join(10)
    assert taken == [None]


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Write the program of the viewer process."""

    def write(text):
        path = tmp_path / 'program.py'
        path.write_text(text)
        monkeypatch.setattr(viewer, 'SCRIPT', path)

    return write


def free_port():
    """Return a port that is free like the next one."""
    for port in range(20000, 60000, 2):
        try:
            viewer.check_ports(port)
        except OSError:
            continue
        return port
    raise AssertionError('all ports are in use')


def open_viewer():
    return Viewer(Path(sys.executable), free_port())


@pytest.mark.parametrize('offset', [0, 1])
def test_a_port_in_use_is_named(offset):
    port = free_port()
    in_use = socket.create_server(('127.0.0.1', port + offset))
    with in_use, pytest.raises(OSError, match=f'^port {port + offset}: .* --port '):
        Viewer(Path(sys.executable), port)


@pytest.mark.parametrize('port', [80, 65535])
def test_an_invalid_port_is_refused(port):
    with pytest.raises(ValueError, match=f'--port: {port}'):
        Viewer(Path(sys.executable), port)


def test_records_reach_the_process_and_close_waits_for_it(program, tmp_path):
    out = tmp_path / 'received'
    program(
        'import sys; print("http://page", flush=True)\n'
        f'open({str(out)!r}, "wb").write(sys.stdin.buffer.read())'
    )
    record = records.scalars('/a', 0.0, {'x': 1.0})
    with open_viewer() as running:
        assert running.address == 'http://page'
        running.send(record, record)
        running.check()
    assert out.read_bytes() == 2 * records.encode(record)


def test_a_slow_process_does_not_block_and_drops_are_counted(program, monkeypatch):
    monkeypatch.setattr(viewer, 'STOP_TIMEOUT', 0.2)
    program('import time; print("http://page", flush=True); time.sleep(600)')
    record = records.record('text', '/a', 0.0, text='x' * 100_000, level='INFO')
    with open_viewer() as running:
        for _ in range(viewer.MAX_BYTES // 100_000):  # 4 bytes a character
            running.send(record)
        assert running.dropped > 100
        start = time.monotonic()
    assert time.monotonic() - start < 30  # close did not wait for the program


def test_an_end_of_the_process_is_reported_with_its_reason(program):
    program('import sys; print("http://page", flush=True); sys.exit("port 9090 is in use")')
    with open_viewer() as running:
        running._process.wait(30)
        with pytest.raises(RuntimeError, match='exit code 1: port 9090 is in use'):
            running.check()


def test_a_process_that_does_not_start_is_reported_with_its_reason(program):
    program('import missing_module')
    with pytest.raises(RuntimeError, match="No module named 'missing_module'"):
        open_viewer()


def test_without_rerun_the_line_that_installs_it_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(viewer, 'CHECKOUT', tmp_path)
    monkeypatch.setenv('HOME', str(tmp_path))
    with pytest.raises(
        FileNotFoundError, match=r'python3 -m venv .* install .rerun-sdk=='
    ) as info:
        viewer.find_interpreter()
    assert '\n' not in str(info.value)
    (tmp_path / 'dev').touch()
    with pytest.raises(FileNotFoundError, match=r'\./dev view'):
        viewer.find_interpreter()
    python = tmp_path / '.venv-view' / 'bin' / 'python'
    python.parent.mkdir(parents=True)
    python.touch()
    assert viewer.find_interpreter() == python


def test_the_versions_of_rerun_agree():
    requirements = Path(viewer.CHECKOUT, 'requirements', 'view.txt')
    if not requirements.is_file():
        pytest.skip('needs the checkout')
    assert f'{viewer.RERUN} \\' in requirements.read_text().splitlines()  # hashes follow
