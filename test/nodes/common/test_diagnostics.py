import pytest

from superpoint_rknn.nodes.common.diagnostics import DiagnosticStatus, ImageCounters, images_status


def values_of(status):
    return {v.key: v.value for v in status.values}


def status(counters, error_message=None):
    return images_status('camera', counters, {'keypoints': 'published'}, {}, error_message)


def test_images_count_as_received_once_their_fate_is_known():
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


def test_rates_are_those_since_the_last_report():
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
def test_the_level_tells_whether_to_look(outcomes, error_message, level, message):
    counters = ImageCounters()
    for outcome in outcomes:
        counters.arrive()
        counters.finish(outcome)
    found = status(counters, error_message)
    assert (found.level, found.message) == (level, message)


def test_cameras_that_never_see_at_a_time_are_told_of():
    counters = ImageCounters()
    counters.arrive()
    counters.finish('dropped')
    counters.count('unpaired')
    found = status(counters)
    assert (found.level, found.message) == (
        DiagnosticStatus.WARN,
        'no pair: 1 images had no partner in the last second',
    )


def test_lost_images_are_unknown_unless_the_middleware_tells():
    counters = ImageCounters()
    assert values_of(status(counters))['lost'] == 'unknown'
    counters.lost_is_known = True
    counters.count('lost', 3)
    assert values_of(status(counters))['lost'] == '3'
