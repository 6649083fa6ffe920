"""Choice of the images whose raw descriptor map is fetched, on a virtual clock."""

import numpy as np
import pytest
from rknn_standin import Standin

from superpoint_rknn.extractor import Extractor
from superpoint_rknn.nodes.superpoint import descriptor_timer
from superpoint_rknn.nodes.superpoint.descriptor_timer import DescriptorSchedule, tick_period
from superpoint_rknn.runtimes.rknn.runtime import LibrknnRuntime

RATE = 5.0  # [Hz] of descriptors
SECONDS = 200


@pytest.fixture
def clock(monkeypatch):
    """Function that sets the time of the schedule [s]."""
    times = [0.0]
    monkeypatch.setattr(descriptor_timer, 'monotonic', lambda: times[0])
    return lambda now: times.__setitem__(0, now)


@pytest.fixture
def simulate(clock):
    return lambda *arguments, **options: _simulate(clock, *arguments, **options)


def _simulate(
    clock, camera_hz, duration, jitter=0.1, rate=RATE, every=False, process=None, seconds=SECONDS
):
    """
    Simulate a camera and the descriptor timer.

    Return the numbers of processed images, of fetched and of described maps, and the ages of the
    described maps at publication [s].

    duration: of an inference [s]. every: fetch the map of every image, for comparison.
    process: called for each processed image with whether its map is fetched.
    """
    random = np.random.default_rng(0)
    schedule = DescriptorSchedule()
    period, tick = 1 / rate, tick_period(1 / rate)
    schedule.due = period
    arrivals = np.arange(0, seconds, 1 / camera_hz)
    arrivals += random.uniform(-jitter, jitter, arrivals.size) / camera_hz
    events = sorted(
        [(t, 'image') for t in arrivals]
        + [(k * tick, 'tick') for k in range(1, int(seconds / tick))]
    )
    processed, fetched, ages = 0, 0, []
    complete = []  # (completion, arrival) of maps being fetched
    newest = None  # arrival of the newest complete map
    free = 0.0  # when the inference thread is free
    for now, kind in events:
        while complete and complete[0][0] <= now:
            newest = complete.pop(0)[1]
        if kind == 'image':
            if now < free:
                continue  # a newer image replaces this one
            processed += 1
            free = now + duration * random.uniform(0.95, 1.05)
            clock(now)
            with_map = schedule.start(newest is not None) or every
            if process is not None:
                process(with_map)
            if with_map:
                fetched += 1
                complete.append((free, now))
            clock(free)
            schedule.complete()
        elif now >= schedule.due - tick / 2 and newest is not None:
            ages.append(now - newest)
            newest = None
            schedule.due += period
            if schedule.due <= now:
                schedule.due = now + period
    return processed, fetched, len(ages), np.array(ages)


@pytest.mark.parametrize('duration', [0.003, 0.02, 0.05])
@pytest.mark.parametrize('camera_hz', [15, 29.7, 30, 31.3, 60])
def test_few_fetched_maps_are_unused_and_none_is_missing(simulate, camera_hz, duration):
    processed, fetched, described, ages = simulate(camera_hz, duration)
    assert described == pytest.approx(SECONDS * RATE, abs=SECONDS * RATE * 0.02)
    assert fetched <= 1.05 * described
    _, _, _, ages_of_every = simulate(camera_hz, duration, every=True)
    period = SECONDS / processed
    assert np.percentile(ages, 95) <= np.percentile(ages_of_every, 95) + period


def test_every_image_is_described_if_the_rate_exceeds_that_of_the_camera(simulate):
    processed, fetched, described, _ = simulate(30, 0.02, rate=1000.0)
    assert processed == pytest.approx(SECONDS * 30, abs=3)
    assert fetched == processed
    assert described == pytest.approx(processed, abs=1)


def test_every_image_of_a_slow_camera_is_described(simulate):
    processed, fetched, described, _ = simulate(2, 0.02)
    assert fetched == processed
    assert described == pytest.approx(processed, abs=1)


@pytest.fixture
def schedule(clock):
    """Schedule of a 10 Hz camera whose last image arrived at 0.4 s."""
    schedule = DescriptorSchedule()
    for number in range(5):
        clock(0.1 * number)
        schedule.start(False)
        clock(0.1 * number + 0.02)
        schedule.complete()
    return schedule


def test_the_map_is_fetched_after_a_pause(clock, schedule):
    schedule.due = 20.0
    clock(0.5)
    assert not schedule.start(False)  # many images arrive before that
    clock(10.0)
    assert schedule.start(False)  # the period is unknown


def test_no_map_is_fetched_while_one_waits(clock, schedule):
    schedule.due = 0.55
    clock(0.5)
    assert schedule.start(False)
    assert not schedule.start(True)


@pytest.mark.parametrize('generation', [1, 2], ids=['v1', 'v2'])
def test_maps_that_the_library_is_asked_for(simulate, standin_libraries, model, generation):
    standin = Standin(generation, standin_libraries[generation])
    standin.set_superpoint()
    standin.set_random_outputs()
    runtime = LibrknnRuntime(model, library=standin.path, mean=0, std=1)
    extractor = Extractor(runtime)
    image = np.zeros(extractor.network_size, np.uint8)
    raw = extractor.new_descriptor_map()

    def process(with_map):
        extractor.detect(image, raw if with_map else None)

    processed, fetched, described, _ = simulate(30, 0.02, process=process, seconds=20)
    runtime.close()
    assert standin.count('rknn_outputs_get') == processed
    assert standin.count('descriptor_maps') == fetched <= 1.3 * described
    assert standin.violations() == ''
    standin.reset()
