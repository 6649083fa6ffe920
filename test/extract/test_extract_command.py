"""The command `extract`: output folders, resumed runs, errors and interruption."""

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from recorded import ROS2, files_of, image_of, lines, raw_messages, read, stamp, write_bag

from superpoint_rknn.extract.output import RECORD, Attempt, Attempts


@pytest.fixture
def long_bag(tmp_path, photograph):
    """A recording too long to be finished during a test."""
    view = np.ascontiguousarray(photograph[:120, :160])
    return write_bag(tmp_path / 'long', {'/image': [image_of(ROS2, n, view) for n in range(3000)]})


@pytest.fixture
def start(model):
    """Function that starts the command as a process."""
    processes = []

    def run(*arguments):
        process = subprocess.Popen(
            [sys.executable, '-m', 'superpoint_rknn.cli', 'extract', '--model', str(model)]
            + [str(argument) for argument in arguments],
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def wait_for_worker(output, size=0):
    """Wait until a worker has written `size` bytes of features; return its process id."""
    end = time.monotonic() + 60
    pattern = f'{output.name}.attempts/attempt-*/{output.name}/*.mcap'
    while time.monotonic() < end:
        for path in output.parent.glob(pattern):
            with suppress(OSError):  # ended meanwhile
                if path.stat().st_size >= size and (pid := pid_of(path.parent)):
                    return pid
        time.sleep(0.02)
    pytest.fail('no process writes there')


def pid_of(argument):
    for process in Path('/proc').iterdir():
        with suppress(OSError):
            if process.name.isdecimal() and str(argument) in (process / 'cmdline').read_text():
                return int(process.name)
    return None


def test_several_recordings_are_written_to_a_folder(tmp_path, bag, pictures, extract):
    (single,) = bag.glob('*.mcap')
    single = shutil.copy(single, tmp_path / 'other.mcap')
    assert extract(bag, single, '-o', tmp_path / 'out', '--jobs', 2) == 0
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['drive', 'other']
    assert raw_messages(tmp_path / 'out/drive') == raw_messages(tmp_path / 'out/other')
    assert (tmp_path / 'out/drive/drive.mcap').is_file()


def test_figures(tmp_path, bag, model, extract):
    assert extract(bag, '-o', tmp_path / 'out', '--json', tmp_path / 'figures.json') == 0
    (figures,) = json.loads((tmp_path / 'figures.json').read_text())['bags']
    assert figures['bag'] == str(bag)
    assert figures['topics'] == ['/cam0/image_raw']
    assert (figures['images'], figures['failed'], figures['descriptors']) == (6, 0, 6)
    assert figures['keypoints'] > 6 * 20
    covered = figures['real_time_factor'] * figures['seconds']
    assert covered == pytest.approx(0.25, rel=0.1)  # six images at 20 Hz
    assert figures['model'].startswith('small@')


def test_finished_bags_are_skipped(tmp_path, bag, extract, capsys):
    out = tmp_path / 'out'
    assert extract(bag, '-o', out) == 0
    before = files_of(out)
    assert extract(bag, '-o', out, '--json', tmp_path / 'f.json') == 0
    assert 'finished before' in capsys.readouterr().out
    assert json.loads((tmp_path / 'f.json').read_text())['bags'][0]['skipped'] is True
    assert extract(bag, '-o', out, '-p', 'detector.max_keypoints:=5') == 1
    err = capsys.readouterr().err
    assert 'detector.max_keypoints: 500 before, 5 now' in err
    assert '--force' in err
    assert files_of(out) == before
    assert extract(bag, '-o', out, '-p', 'detector.max_keypoints:=5', '--force') == 0
    assert files_of(out) != before
    assert sorted(path.name for path in out.parent.iterdir()) == ['drive', 'f.json', 'out']
    before = files_of(out)
    assert extract(bag, '-o', out, '-p', 'detector.max_keypoints:=5', '--force') == 0
    assert files_of(out) == before  # the same command resumes a run, with --force too


def test_changes_of_mask_and_recording_are_detected_by_content(tmp_path, bag, extract, capsys):
    mask = tmp_path / 'mask.png'
    options = ('-o', tmp_path / 'out', '-p', f'mask:={mask}')
    cv2.imwrite(str(mask), np.full((120, 160), 255, np.uint8))
    assert extract(bag, *options) == 0
    cv2.imwrite(str(mask), np.eye(120, 160, dtype=np.uint8))
    assert extract(bag, *options) == 1
    assert 'masks: [' in capsys.readouterr().err
    cv2.imwrite(str(mask), np.full((120, 160), 255, np.uint8))
    assert extract(bag, *options) == 0
    (data,) = bag.glob('*.mcap')
    os.utime(data, ns=(0, data.stat().st_mtime_ns + 10**10))
    assert extract(bag, *options) == 1
    assert 'modified_ns: ' in capsys.readouterr().err


def test_a_bad_recording_does_not_stop_the_others(tmp_path, bag, pictures, extract, capfd):
    bad = write_bag(
        tmp_path / 'bad', {'/cam0/image_raw': [image_of(ROS2, 0, pictures[0], step=3)]}
    )
    assert extract(bad, bag, '-o', tmp_path / 'out', '--json', tmp_path / 'f.json') == 1
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['drive']
    first, second = json.loads((tmp_path / 'f.json').read_text())['bags']
    assert 'step: 3' in first['error']
    assert second['images'] == 6


def test_an_unreadable_recording_does_not_stop_the_others(tmp_path, bag, extract, capfd):
    bad = tmp_path / 'bad.mcap'
    bad.write_bytes(b'no bag')
    missing = tmp_path / 'missing.mcap'
    report = tmp_path / 'f.json'
    assert extract(bad, bag, missing, '-o', tmp_path / 'out', '--json', report) == 1
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['drive']
    first, second, third = json.loads(report.read_text())['bags']
    assert 'not a readable recording' in first['error']
    assert second['images'] == 6
    assert 'no such file' in third['error']
    assert len(lines(capfd.readouterr().err)) == 2


def test_a_truncated_recording(tmp_path, bag, extract, capfd):
    (data,) = bag.glob('*.mcap')
    cut = tmp_path / 'cut.mcap'
    cut.write_bytes(data.read_bytes()[: 5 * 120 * 160])
    out, report = tmp_path / 'out', tmp_path / 'f.json'
    assert extract(cut, '-o', out, '--json', report) == 1
    (line,) = lines(capfd.readouterr().err)
    assert 'cut.mcap: incomplete: cut.mcap: cut, or its recorder was stopped' in line
    (figures,) = json.loads(report.read_text())['bags']
    assert (figures['images'], figures['failed'], len(figures['missing'])) == (4, 0, 1)
    assert extract(cut, '-o', out) == 1  # finished before, and no more complete
    assert extract(cut, '-o', out, '--allow-truncated') == 0
    assert 'incomplete' in capfd.readouterr().err
    assert [topic for topic, *_ in raw_messages(out)].count('/cam0/keypoints') == 4


def test_a_sequence_of_euroc(tmp_path, pictures, extract, capsys):
    for camera in ('cam0', 'cam1'):
        folder = tmp_path / 'MH_01/mav0' / camera
        (folder / 'data').mkdir(parents=True)
        for number, picture in enumerate(pictures):
            cv2.imwrite(str(folder / f'data/{stamp(number)}.png'), picture)
        names = [f'{stamp(n)},{stamp(n)}.png' for n in range(len(pictures))]
        (folder / 'data.csv').write_text('\n'.join(['#timestamp [ns],filename', *names]))
    sequence = tmp_path / 'MH_01'
    assert extract(sequence, '-o', tmp_path / 'out') == 1
    assert '/cam0/image_raw (6), /cam1/image_raw (6)' in capsys.readouterr().err
    assert extract(sequence, '-o', tmp_path / 'out', '--topic', '/cam0/image_raw') == 0
    bag = write_bag(
        tmp_path / 'bag',
        {'/cam0/image_raw': [image_of(ROS2, n, p) for n, p in enumerate(pictures)]},
    )
    assert extract(bag, '-o', tmp_path / 'same') == 0
    features, same = (
        [message.x.tolist() for _, message in read(tmp_path / name)['/cam0/keypoints']]
        for name in ('out', 'same')
    )
    assert features == same
    (folder / f'data/{stamp(0)}.png').unlink()
    assert extract(sequence, '-o', tmp_path / 'out', '--topic', '/cam0/image_raw') == 1
    assert 'bytes: ' in capsys.readouterr().err


def test_an_interrupted_run_is_resumed(tmp_path, bag, long_bag, start, extract, all_exited):
    out = tmp_path / 'out'
    process = start(bag, long_bag, '-o', out, '--jobs', 1)
    worker = wait_for_worker(out / 'long', 2**20)
    finished = files_of(out / 'drive')
    process.send_signal(signal.SIGINT)
    assert process.wait(2) == 130
    assert lines(process.stderr.read()) == ['superpoint_rknn: interrupted']
    assert all_exited([worker])
    assert [path.name for path in out.iterdir()] == ['drive']
    shutil.rmtree(long_bag)
    write_bag(long_bag, {'/image': [image_of(ROS2, 0, np.zeros((120, 160), np.uint8))]})
    assert extract(bag, long_bag, '-o', out) == 0
    assert sorted(path.name for path in out.iterdir()) == ['drive', 'long']
    assert files_of(out / 'drive') == finished


def test_a_killed_run_is_resumed(tmp_path, long_bag, start, extract, all_exited):
    process = start(long_bag, '-o', tmp_path / 'out')
    worker = wait_for_worker(tmp_path / 'out', 2**20)
    process.kill()
    assert all_exited([worker])
    assert not (tmp_path / 'out').exists()
    assert Attempts(tmp_path / 'out').count() == 1
    shutil.rmtree(long_bag)
    write_bag(long_bag, {'/image': [image_of(ROS2, 0, np.zeros((120, 160), np.uint8))]})
    assert extract(long_bag, '-o', tmp_path / 'out') == 0
    assert not (tmp_path / 'out.attempts').exists()


def test_three_attempts(tmp_path, long_bag, start, extract, all_exited, capsys):
    """A worker that dies is replaced; after the third one the recording is named and left."""
    out = tmp_path / 'out'
    process = start(long_bag, '-o', out)
    for number in (1, 2, 3):
        worker = wait_for_worker(out)
        assert Attempts(out).count() == number
        os.kill(worker, signal.SIGKILL)
        assert all_exited([worker])
    assert process.wait(60) == 1
    (line,) = lines(process.stderr.read())
    assert f'{long_bag}: failed 3 times (its process ended with exit code -9)' in line
    assert files_of(tmp_path).keys() == files_of(long_bag).keys()
    assert extract(long_bag, '-o', out) == 1
    assert f'remove {out}.attempts to try again' in capsys.readouterr().err


def test_a_worker_that_is_blocked_is_replaced(tmp_path, long_bag, extract, monkeypatch, capsys):
    monkeypatch.setattr('superpoint_rknn.extract.attempt.IMAGE_TIMEOUT', 0.0)
    monkeypatch.setattr('superpoint_rknn.extract.attempt.MAX_ATTEMPTS', 1)
    assert extract(long_bag, '-o', tmp_path / 'out') == 1
    assert 'failed 1 times (no image for 0 s)' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_a_full_disk_is_reported_with_the_output(tmp_path, bag, extract, capfd):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**17, before[1]))
    try:
        assert extract(bag, '-o', tmp_path / 'out') == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    err = capfd.readouterr().err
    assert str(tmp_path / 'out') in err
    assert 'File too large' in err
    assert not list(tmp_path.glob('out*'))


def complete(attempt, request, replace=False):
    attempt.bag.mkdir()
    custom = {RECORD: json.dumps({'request': request, 'summary': {'pid': id(attempt)}})}
    text = json.dumps({'rosbag2_bagfile_information': {'custom_data': custom}})
    (attempt.bag / 'metadata.yaml').write_text(text)
    return attempt.complete(request, {'pid': id(attempt)}, replace)


def test_a_file_created_at_the_output_meanwhile_is_kept(tmp_path):
    with Attempt(tmp_path / 'out') as attempt:
        (tmp_path / 'out').write_text('precious')
        with pytest.raises(FileExistsError, match='out exists'):
            complete(attempt, {})
    assert (tmp_path / 'out').read_text() == 'precious'
    assert [path.name for path in tmp_path.iterdir()] == ['out']


def test_of_two_attempts_the_faster_one_is_kept(tmp_path):
    out = tmp_path / 'out'
    with Attempt(out) as first, Attempt(out) as second:
        assert complete(second, {'rate': 1}) == {'pid': id(second)}
        kept = files_of(out)
        assert not first.bag.parent.exists()  # it must not count as a failure
        first.bag.parent.mkdir(parents=True)
        assert complete(first, {'rate': 1}) == {'pid': id(second)}
    assert files_of(out) == kept
    with Attempt(out) as other, pytest.raises(FileExistsError, match='rate: 1 before, 2 now'):
        complete(other, {'rate': 2})
    assert files_of(out) == kept
    with Attempt(out) as other:
        assert complete(other, {'rate': 2}, replace=True) == {'pid': id(other)}
    assert files_of(out) != kept
    assert [path.name for path in tmp_path.iterdir()] == ['out']


def test_files_of_killed_attempts_are_removed(tmp_path):
    killed = subprocess.Popen(['true'])
    killed.wait()
    name = f'{socket.gethostname()}-{killed.pid}-00000000'
    others = f'elsewhere-{killed.pid}-00000000', f'{socket.gethostname()}-{os.getpid()}-00000000'
    for attempt in (name, *others):
        (tmp_path / f'out.attempts/attempt-{attempt}/out').mkdir(parents=True)
    with Attempt(tmp_path / 'out'):
        found = [path.parent.name for path in tmp_path.glob('out.attempts/attempt-*/out')]
        assert sorted(found) == sorted(f'attempt-{other}' for other in others)
    assert Attempts(tmp_path / 'out').count() == 3


def test_other_files_beside_the_output_are_kept(tmp_path, bag, extract):
    (tmp_path / 'out.attempts').mkdir()
    (tmp_path / 'out.attempts/precious').touch()
    assert extract(bag, '-o', tmp_path / 'out') == 0
    assert [path.name for path in (tmp_path / 'out.attempts').iterdir()] == ['precious']
