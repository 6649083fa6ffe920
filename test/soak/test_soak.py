"""The soak run: what it accounts for, what it takes for growth, and a short one."""

import mmap
import os
import signal
import threading

import numpy as np
import pytest

pytest.importorskip('rclpy')
import soak
import soak_report
import soak_samples
from noise import noise_recording
from soak_samples import Samples, read_sample, slope

COUNTS = {'received': 95, 'published': 90, 'dropped': 4, 'failed': 0, 'lost': 5, 'late_images': 1}
SUPERPOINT = {'published': 90, 'descriptors': 8}
TRACKER = {
    **{'received': 97, 'published': 96, 'dropped': 1, 'failed': 0, 'lost': 3},
    **{
        'keypoints_received': 88,
        'keypoints_lost': 2,
        'without_keypoints': 10,
        'late_keypoints': 1,
    },
    **{'descriptors_received': 8, 'descriptors': 7},
}


@pytest.mark.parametrize(
    ('change', 'unaccounted'),
    [
        ({'published': 91}, 0),
        ({}, 1),  # received, without an outcome
        ({'published': 91, 'lost': 4}, 1),  # neither received nor lost
        ({'published': 91, 'lost': 7}, 2),  # more than were sent
    ],
)
def test_images_are_accounted_for(change, unaccounted):
    figures = soak_report.account(100, COUNTS | change)
    assert figures['unaccounted'] == unaccounted
    assert figures['dropped_late'] == 1


def test_lost_images_may_be_unknown():
    counts = {key: value for key, value in COUNTS.items() if key != 'lost'}
    assert soak_report.account(100, counts)['unaccounted'] is None


@pytest.mark.parametrize(
    ('change', 'keypoints', 'descriptors'),
    [
        ({}, 0, 0),
        ({'keypoints_lost': 0}, 2, 0),
        ({'late_keypoints': 3}, 1, 0),  # more than were received
        (
            {'without_keypoints': 20, 'lost': 0},
            10,
            0,
        ),  # more unused ones than images without tracks
        ({'descriptors_received': 6, 'descriptors': 6}, 0, 2),
        ({'descriptors': 9}, 0, 1),
    ],
)
def test_keypoints_and_descriptors_are_accounted_for(change, keypoints, descriptors):
    inputs = soak_report.account_inputs(SUPERPOINT, TRACKER | change)
    assert inputs['keypoints']['unaccounted'] == keypoints
    assert inputs['descriptors']['unaccounted'] == descriptors


def sampled(values, seconds):
    """Samples of a process whose memory has these values [MB], at regular intervals."""
    samples = Samples(os.getpid())
    samples.times = list(np.linspace(0, seconds, len(values)))
    samples.values = {kind: [1.0] * len(values) for kind in samples.values}
    samples.values['rss_mb'] = list(values)
    return samples


@pytest.mark.parametrize(
    ('rise', 'noise', 'grows'),
    [(60, 0.5, True), (0, 0.5, False), (5, 0.5, False), (60, 100, False)],
    ids=['leak', 'flat', 'below the limit', 'not significant'],
)
def test_growth_beyond_the_limit_is_a_failure(rise, noise, grows):
    hours = 0.1
    ramp = np.linspace(0, rise * hours, 360)
    values = 100 + ramp + np.random.default_rng(1).normal(0, noise, 360)
    figures = soak_report.growth(sampled(values, 3600 * hours), warm_up=10, rate=200)
    report = {'ended': [], 'tracker_inputs': {}, 'processes': {'tracker': figures}}
    failures = soak_report.failures(report)
    assert [text.partition(' grew')[0] for text in failures] == ['tracker: memory [MB]'] * grows


def test_a_run_without_images_has_no_page_faults_per_image():
    samples = sampled([100.0] * 360, 360)
    samples.values['page_faults'] = samples.times  # 1 a second
    assert soak_report.growth(samples, 10, rate=2)['page_faults_per_image'] == pytest.approx(0.5)
    assert soak_report.growth(samples, 10, rate=0)['page_faults_per_image'] is None


def test_the_slope_and_its_error():
    times = np.arange(0, 3600, 10.0)
    errors = []
    for seed in range(200):
        noise = np.random.default_rng(seed).normal(0, 1, len(times))
        rise, error = slope(times, 7 * times / 3600 + noise)
        errors.append((rise - 7, error))
    deviations, stated = np.array(errors).T
    assert abs(deviations.mean()) < 0.05
    assert np.std(deviations) == pytest.approx(np.mean(stated), rel=0.15)
    assert slope(times[:10], times[:10]) is None


def test_samples_are_bounded(monkeypatch):
    monkeypatch.setattr(soak_samples, 'CAPACITY', 64)
    samples = Samples(os.getpid())
    for second in range(1000):
        samples.take_if_due(float(second))
        assert len(samples.times) < 64
    assert {len(series) for series in samples.values.values()} == {len(samples.times)}
    assert samples.times[0] == 0
    assert samples.times[-1] > 900


def test_a_sample_shows_memory_handles_and_threads():
    before = read_sample(os.getpid())
    # New pages: an array could get memory that was freed before and is still resident.
    pages = mmap.mmap(-1, 20_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    held = np.frombuffer(pages, np.uint8)
    held[:] = 1
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    with open(os.devnull):
        after = read_sample(os.getpid())
    end.set()
    thread.join()
    assert after['rss_mb'] - before['rss_mb'] == pytest.approx(held.nbytes / 1e6, abs=2)
    assert after['fds'] == before['fds'] + 1
    assert after['threads'] == before['threads'] + 1
    assert after['page_faults'] > before['page_faults']


def test_a_short_run_that_is_interrupted(monkeypatch):
    state = soak.Run._state

    def interrupt(run):
        if run.played['sent'] > 10 and 'counts' not in run.played:
            signal.raise_signal(signal.SIGINT)
        return state(run)

    monkeypatch.setattr(soak.Run, '_state', interrupt)
    report = soak.run(noise_recording(), ['--seconds', 600, '--images', 10**6], 600)
    assert report['failures'] == []
    assert 10 < report['images'] < 10**6
    for name in ('superpoint', 'tracker'):
        figures = report['processes'][name]
        assert figures['received'] + figures['lost'] == report['images']
        assert figures['published'] > 0
        assert figures['rss_mb'] > 30
    assert report['published'] == report['tracker_inputs']['keypoints']['published']
    text = soak_report.table(report)
    assert f'{report["images"]} images of 64x64' in text
    assert 'passed' in text
