from pathlib import Path
from types import SimpleNamespace

import pytest
from rclpy.clock import ClockType

from superpoint_rknn.nodes.common import diagnostics
from superpoint_rknn.nodes.common.diagnostics import (
    LEAST_DESCRIPTORS,
    OUTCOMES,
    DiagnosticStatus,
    ImageCounters,
    images_status,
)
from superpoint_rknn.nodes.common.image_subscription import SILENCE
from superpoint_rknn.nodes.common.lost_images import TOO_MANY, WINDOW


def values_of(status):
    return {v.key: v.value for v in status.values}


def status(counters, error_message=None):
    return images_status('camera', counters, {'keypoints': 'published'}, {}, error_message)


def test_images_count_as_received_once_their_outcome_is_known():
    counters = ImageCounters()
    for _ in range(4):
        counters.arrive()
    counters.finish('published')
    counters.finish('dropped')
    counts = counters.report().counts
    assert (counts['received'], counts['published'], counts['dropped'], counts['failed']) == (
        *(2, 1, 1, 0),
    )
    assert counts['pending'] == 2
    counters.finish('failed')
    counters.finish('published')
    counts = counters.report().counts
    assert counts['received'] == 4 == counts['published'] + counts['dropped'] + counts['failed']
    assert counts['pending'] == 0


def test_recent_counts_are_those_since_the_previous_report():
    counters = ImageCounters()
    counters.arrive()
    counters.finish('published')
    first = counters.report()
    assert first.recent['published'] == 1
    second = counters.report()
    assert second.recent['published'] == 0
    assert second.counts['published'] == 1
    assert second.period < first.period + 1


def test_stage_times_are_smoothed():
    counters = ImageCounters()
    counters.stages({'run': 10.0})
    counters.stages({'run': 20.0})
    assert counters.report().stages_ms == pytest.approx({'run': 11.0})


@pytest.mark.parametrize(
    ('outcomes', 'error_message', 'level', 'message'),
    [
        (['published'], None, DiagnosticStatus.OK, 'ok'),
        (
            ['published', 'failed'],
            None,
            DiagnosticStatus.WARN,
            '1 images failed in the last second',
        ),
        ([], None, DiagnosticStatus.WARN, 'no images'),
        (['published'], 'the NPU is gone', DiagnosticStatus.ERROR, 'the NPU is gone'),
    ],
)
def test_level_and_message_of_the_status(outcomes, error_message, level, message):
    counters = ImageCounters()
    for outcome in outcomes:
        counters.arrive()
        counters.finish(outcome)
    result = status(counters, error_message)
    assert (result.level, result.message) == (level, message)


def test_unpaired_images_are_a_warning():
    counters = ImageCounters()
    counters.arrive()
    counters.finish('dropped')
    counters.count('unpaired')
    result = status(counters)
    assert (result.level, result.message) == (
        DiagnosticStatus.WARN,
        'no pair: 1 images had no partner in the last second',
    )


def warning_after(counts, **expected):
    """Message of the status after images with these outcomes and other counts."""
    counters = ImageCounters()
    for name, number in counts.items():
        for _ in range(number if name in OUTCOMES else 0):
            counters.arrive()
            counters.finish(name)
        if name not in OUTCOMES:
            counters.count(name, number)
    result = images_status('camera', counters, {}, {}, **expected)
    assert (result.level == DiagnosticStatus.OK) == (result.message == 'ok')
    return result.message


def test_a_warning_while_most_images_are_dropped():
    assert warning_after({'published': 5, 'dropped': 5}) == 'ok'
    message = warning_after({'published': 5, 'dropped': 6})
    assert message == '6 of 11 images dropped in the last second'


def test_a_warning_about_late_keypoints():
    message = warning_after({'published': 5, 'late_keypoints': 2})
    assert message == 'keypoints of 2 images were late in the last second'


@pytest.mark.parametrize(('live', 'message'), [(None, 'ok'), (0, 'no tracks'), (1, 'ok')])
def test_a_warning_without_tracks(live, message):
    assert warning_after({'published': 5}, live_tracks=live) == message


def test_repeated_stamps_and_those_that_run_back_are_counted():
    log, counters = [], ImageCounters()
    images = SimpleNamespace(warning=lambda text, **_: log.append(text))
    warnings = diagnostics.ImageWarnings(images, '/image', counters)
    for stamp in (-5, 0, 0, 10**9 + 7, 3):
        warnings.check_stamp(stamp)
    assert log == [
        '/image: header.stamp is repeated: (0, 0) [s, ns] (seen 1 times)',
        '/image: header.stamp ran backwards from (1, 7) to (0, 3) [s, ns] (seen 1 times)',
    ]
    assert (counters['stamps_back'], counters['stamps_repeated']) == (1, 1)


def test_messages_are_throttled_by_a_clock_that_is_not_set_back():
    assert diagnostics.THROTTLE['throttle_time_source_type'].clock_type == ClockType.STEADY_TIME


def test_a_warning_if_the_rate_of_descriptors_is_not_reached(monkeypatch):
    times = iter(range(100))
    monkeypatch.setattr(diagnostics.time, 'monotonic', lambda: float(next(times)))
    few = {'published': 30, 'descriptors': 2}
    assert warning_after(few, descriptors_rate=0.0) == 'ok'
    message = warning_after(few, descriptors_rate=5.0)
    assert message == 'descriptors at 2.0 Hz, expected 5.0 Hz'
    assert warning_after({'published': 30, 'descriptors': 3}, descriptors_rate=5.0) == 'ok'
    slow = {'published': 3, 'descriptors': 2}  # every image but one is described
    assert warning_after(slow, descriptors_rate=1000.0) == 'ok'


def test_the_documentation_has_all_warnings_in_order_of_precedence():
    document = Path(__file__).parents[3] / 'docs' / 'diagnostics.md'
    rows = [line.split('|')[1:3] for line in document.read_text().splitlines() if '| `' in line]
    lost, no_images = 'lost: why', 'no images: why'
    few = {'published': 9, 'descriptors': 1}
    precedence = [
        ({'failed': 1}, {'input_warning': no_images}, '... images failed'),
        ({'unpaired': 1}, {'input_warning': no_images}, 'no images'),
        ({'unpaired': 1}, {'input_warning': lost}, '... images lost'),
        ({'unpaired': 1}, {'input_warning': 'no images of r for 3 s'}, 'no images of ...'),
        ({'unpaired': 1}, {'input_warning': 'images of several publishers'}, 'images of several'),
        ({'unpaired': 1}, {'input_warning': 'no keypoints: why'}, 'no keypoints'),
        ({'unpaired': 1, 'dropped': 1}, {}, 'no pair'),
        ({'size_changes': 1, 'dropped': 2, 'published': 1}, {}, 'irregular images'),
        ({'dropped': 2, 'published': 1, 'late_keypoints': 1}, {}, '... images dropped'),
        ({'published': 1, 'late_keypoints': 1}, {'live_tracks': 0}, 'keypoints of ... images'),
        (few, {'live_tracks': 0, 'descriptors_rate': 1e9}, 'no tracks'),
        (few, {'descriptors_rate': 1e9, 'output_warning': 'why'}, 'descriptors at ... Hz'),
        ({'published': 9}, {'output_warning': '`feature` needs'}, '`feature`'),
    ]
    assert len(rows) == len(precedence)
    for (title, _), (counts, expected, documented) in zip(rows, precedence, strict=True):
        assert documented in title
        start = documented.partition('...')[0] or documented.removeprefix('... images ')
        assert start in warning_after(counts, **expected)
    conditions = [condition for _, condition in rows]
    assert f'after {SILENCE:g} s' in conditions[1]
    assert f'a fifth or more of the newest {WINDOW}' in conditions[2]
    assert 'fewer than half' in conditions[11]
    assert (TOO_MANY, LEAST_DESCRIPTORS) == (1 / 5, 1 / 2)


def test_lost_count_is_unknown_without_sequence_numbers():
    counters = ImageCounters()
    assert values_of(status(counters))['lost'] == 'unknown'
    counters.lost_is_known = True
    counters.count('lost', 3)
    assert values_of(status(counters))['lost'] == '3'
