"""The command `extract`: output folders, resumed runs, errors and interruption."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from recorded import ROS2, files_of, image_of, lines, raw_messages, read, stamp, write_bag

from superpoint_rknn.extract.output import Output


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


def wait_until_written(partial, name):
    """Wait until features are written; return the worker's process id."""
    end = time.monotonic() + 60
    while not (data := list(partial.glob(f'{name}/*.mcap'))) or data[0].stat().st_size < 2**20:
        assert time.monotonic() < end
        time.sleep(0.02)
    for process in Path('/proc').iterdir():
        if process.name.isdecimal():
            try:
                if str(partial / name).encode() in (process / 'cmdline').read_bytes():
                    return process.name
            except OSError:  # ended meanwhile
                continue
    pytest.fail('no process writes there')


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
    worker = wait_until_written(out / 'long.partial', 'long')
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
    worker = wait_until_written(tmp_path / 'out.partial', 'out')
    process.kill()
    assert all_exited([worker])
    assert not (tmp_path / 'out').exists()
    shutil.rmtree(long_bag)
    write_bag(long_bag, {'/image': [image_of(ROS2, 0, np.zeros((120, 160), np.uint8))]})
    assert extract(long_bag, '-o', tmp_path / 'out') == 0
    assert not (tmp_path / 'out.partial').exists()


def test_a_worker_that_dies_is_reported(tmp_path, long_bag, start):
    process = start(long_bag, '-o', tmp_path / 'out')
    worker = wait_until_written(tmp_path / 'out.partial', 'out')
    os.kill(int(worker), signal.SIGKILL)
    assert process.wait(60) == 1
    assert 'its process ended with exit code -9' in process.stderr.read()
    assert not list(tmp_path.glob('out*'))


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


def test_a_file_created_at_the_output_meanwhile_is_kept(tmp_path):
    with Output(tmp_path / 'out') as output:
        output.bag.mkdir()
        (tmp_path / 'out').write_text('precious')
        with pytest.raises(FileExistsError, match='out exists'):
            output.complete()
    assert (tmp_path / 'out').read_text() == 'precious'


def test_two_runs_do_not_write_one_output(tmp_path, bag, extract, capsys):
    with Output(tmp_path / 'out'):
        assert extract(bag, '-o', tmp_path / 'out') == 1
        assert 'another run is writing there' in capsys.readouterr().err
    assert extract(bag, '-o', tmp_path / 'out') == 0
