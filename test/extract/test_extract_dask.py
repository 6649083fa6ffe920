"""`extract --scheduler` on a scheduler and workers of Dask, each in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from recorded import ROS2, image_of, raw_messages, write_bag

distributed = pytest.importorskip('distributed', reason='needs Dask: pip install distributed')

WORKERS = 3
RECORDINGS = 6


@pytest.fixture
def cluster(tmp_path):
    """Function that starts a scheduler and workers; returns its address and their processes."""
    processes = []

    def start(workers):
        found = tmp_path / 'scheduler.json'
        common = ['--scheduler-file', found, '--no-dashboard', '--host', '127.0.0.1']
        commands = [('dask_scheduler', *common, '--port', '0')]
        commands += [('dask_worker', *common, '--nthreads', '1', '--no-nanny')] * workers
        for module, *arguments in commands:
            command = [sys.executable, '-m', f'distributed.cli.{module}', *map(str, arguments)]
            log = (tmp_path / f'dask{len(processes)}.log').open('w')
            with log:
                process = subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path)
            processes.append(process)
            end = time.monotonic() + 60
            while not (found.exists() and found.stat().st_size) and time.monotonic() < end:
                time.sleep(0.05)
        return json.loads(found.read_text())['address'], processes[1:]

    yield start
    for process in reversed(processes):
        process.kill()
        process.wait()


def bags(tmp_path, count, images):
    rng = np.random.default_rng(0)
    made = []
    for number in range(count):
        picture = rng.integers(0, 256, (120, 160), np.uint8)
        messages = [image_of(ROS2, n, np.roll(picture, n, 1)) for n in range(images)]
        made.append(write_bag(tmp_path / f'bag{number}', {'/image': messages}))
    return made


def test_outputs_of_a_cluster_are_those_of_one_machine(tmp_path, extract, cluster, capsys):
    recordings = bags(tmp_path, 2, 3)
    assert extract(*recordings, '-o', tmp_path / 'local', '--jobs', 1) == 0
    address, _ = cluster(1)
    assert extract(*recordings, '-o', tmp_path / 'dask', '--scheduler', address) == 0
    assert features(tmp_path / 'dask') == features(tmp_path / 'local')
    assert address in capsys.readouterr().out


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_nothing(tmp_path, extract, cluster, model):
    recordings = bags(tmp_path, RECORDINGS, 60)
    assert extract(*recordings, '-o', tmp_path / 'local', '--jobs', 1) == 0
    address, workers = cluster(WORKERS)
    command = [sys.executable, '-m', 'superpoint_rknn.cli', 'extract', '--model', model]
    command += [*recordings, '-o', tmp_path / 'dask', '--scheduler', address]
    process = subprocess.Popen(list(map(str, command)))
    attempts = tmp_path / 'dask'
    end = time.monotonic() + 60
    while not list(attempts.glob('*.attempts/attempt-*/*/*.mcap')) and time.monotonic() < end:
        time.sleep(0.02)
    os.kill(workers[0].pid, signal.SIGKILL)
    assert process.wait(300) == 0
    assert features(tmp_path / 'dask') == features(tmp_path / 'local')
    assert not list((tmp_path / 'dask').glob('*.attempts'))


def features(folder):
    """Messages of the bags of a folder by name; a bag also has the duration of its extraction."""
    return {path.name: raw_messages(path) for path in folder.iterdir()}


def test_a_scheduler_that_does_not_answer(tmp_path, extract, capsys, monkeypatch):
    monkeypatch.setattr('superpoint_rknn.extract.dask_executor.CONNECT_TIMEOUT', 0.5)
    (recording,) = bags(tmp_path, 1, 1)
    out = tmp_path / 'out'
    assert extract(recording, '-o', out, '--scheduler', 'tcp://127.0.0.1:1') == 1
    assert '--scheduler tcp://127.0.0.1:1: not reachable' in capsys.readouterr().err


def test_without_dask_the_command_says_what_to_install(tmp_path, extract, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, 'distributed', None)
    (recording,) = bags(tmp_path, 1, 1)
    arguments = ('-o', tmp_path / 'out', '--scheduler', 'tcp://127.0.0.1:1')
    assert extract(recording, *arguments) == 1
    assert 'pip install distributed' in capsys.readouterr().err


def test_jobs_and_scheduler_exclude_each_other(tmp_path, extract, capsys):
    (recording,) = bags(tmp_path, 1, 1)
    arguments = ('-o', tmp_path / 'out', '--scheduler', 'tcp://127.0.0.1:1', '--jobs', 2)
    assert extract(recording, *arguments) == 1
    assert 'expected one of them' in capsys.readouterr().err
