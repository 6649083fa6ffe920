"""Shared memory of killed nodes is removed at the next start, that of living ones never."""

import fcntl
import os
import re
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from superpoint_rknn.nodes.common import shared_memory
from superpoint_rknn.nodes.common.shared_memory import (
    FOLDER,
    remove_dead_segments,
    shared_memory_problem,
)

NODE = ('-m', 'superpoint_rknn.nodes.tracker.node')


def segments_of(process):
    """Paths of the segments that a process has mapped: its own and those of other participants."""
    maps = Path(f'/proc/{process.pid}/maps').read_text(errors='replace')
    return set(re.findall(rf'{FOLDER}/fast(?:dds|rtps)_[0-9a-f]{{16}}\b', maps))


def is_living(segment):
    """Whether a process holds the lock of a segment, as its owner does."""
    with open(f'{segment}_el', 'rb') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@pytest.mark.parametrize(('pages', 'is_full'), [(0, True), (3, True), (4, False)])
def test_full_shared_memory_is_a_problem(tmp_path, monkeypatch, pages, is_full):
    status = SimpleNamespace(f_bavail=pages, f_frsize=4096)
    monkeypatch.setattr(shared_memory.os, 'statvfs', lambda folder: status)
    assert shared_memory_problem(tmp_path).startswith(f'{tmp_path} is full: ') == is_full


def test_no_shared_memory_is_no_problem(tmp_path):
    assert shared_memory_problem(tmp_path / 'nothing') == ''


@pytest.mark.parametrize('prefix', ['fastdds', 'fastrtps'])  # of Fast DDS 3 and 2
def test_only_old_unlocked_segments_of_this_user_are_removed(tmp_path, monkeypatch, prefix):
    def segment(number, age=10.0):
        path = tmp_path / f'{prefix}_{number:016x}'
        path.write_bytes(bytes(1000))
        lock = Path(f'{path}_el')
        lock.touch()
        os.utime(lock, (time.time() - age,) * 2)
        return path

    dead, living, young = segment(0xABC), segment(1), segment(2, age=0.0)
    other = tmp_path / f'{prefix}_port7411_el'
    other.touch()
    os.utime(other, (0, 0))
    with open(f'{living}_el', 'rb') as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        with monkeypatch.context() as patch:
            patch.setattr(os, 'geteuid', lambda: os.getuid() + 1)
            assert remove_dead_segments(tmp_path) == 0
        assert remove_dead_segments(tmp_path) == 1000
    assert not dead.exists()
    assert not Path(f'{dead}_el').exists()
    assert all(p.exists() and Path(f'{p}_el').exists() for p in (living, young))
    assert other.exists()
    assert remove_dead_segments(tmp_path / 'missing') == 0


def test_killed_nodes_leave_nothing_after_the_next_start(graph):
    if not FOLDER.is_dir():
        pytest.skip('needs /dev/shm')
    mapped = segments_of(SimpleNamespace(pid='self'))  # maybe of nodes of an earlier test, too
    of_test = {path for path in mapped if os.path.exists(path) and is_living(path)}
    assert of_test

    def start():
        process = graph.start(*NODE, 'cameras:=[cam0]')
        graph.wait(lambda: 'active: ' in process.log.read_text(), 'the node')
        return process

    process, left = start(), set()
    for _ in range(5):  # a node that another test starts may be the one that removes them
        time.sleep(1.0)  # a lock file that is younger may be that of a node that starts
        left |= segments_of(process) - mapped
        process.kill()
        process.wait()
        process = start()
        assert left
        assert not any(map(os.path.exists, left))
        if ' MB of shared memory that killed processes left' in process.log.read_text():
            break
    else:
        pytest.fail('no start removed shared memory')
    assert all(map(os.path.exists, of_test))
    assert process.poll() is None
    assert graph.interrupt(process)[0] == 0
