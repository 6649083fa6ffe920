import pytest

from superpoint_rknn.nodes.common.diagnostics import Accounting, DiagnosticStatus, images_status


def values_of(status):
    return {v.key: v.value for v in status.values}


def status(accounting, trouble=None):
    return images_status('camera', accounting, {'keypoints': 'published'}, {}, trouble)


def test_images_count_as_received_once_their_fate_is_known():
    accounting = Accounting()
    for _ in range(4):
        accounting.arrive()
    accounting.settle('published')
    accounting.settle('dropped')
    counts = accounting.report().counts
    assert (counts['received'], counts['published'], counts['dropped'], counts['failed']) == (
        *(2, 1, 1, 0),
    )
    assert counts['pending'] == 2
    accounting.settle('failed')
    accounting.settle('published')
    counts = accounting.report().counts
    assert counts['received'] == 4 == counts['published'] + counts['dropped'] + counts['failed']
    assert counts['pending'] == 0


def test_rates_are_those_since_the_last_report():
    accounting = Accounting()
    accounting.arrive()
    accounting.settle('published')
    first = accounting.report()
    assert first.recent['published'] == 1
    second = accounting.report()
    assert second.recent['published'] == 0
    assert second.counts['published'] == 1
    assert second.period < first.period + 1


def test_stage_times_are_smoothed():
    accounting = Accounting()
    accounting.stages({'run': 10.0})
    accounting.stages({'run': 20.0})
    assert accounting.report().stages_ms == pytest.approx({'run': 11.0})


@pytest.mark.parametrize(
    ('fates', 'trouble', 'level', 'message'),
    [
        (['published'], None, DiagnosticStatus.OK, 'ok'),
        (['published', 'failed'], None, DiagnosticStatus.WARN, '1 images failed lately'),
        ([], None, DiagnosticStatus.WARN, 'no images'),
        (['published'], 'the NPU is gone', DiagnosticStatus.ERROR, 'the NPU is gone'),
    ],
)
def test_the_level_tells_whether_to_look(fates, trouble, level, message):
    accounting = Accounting()
    for fate in fates:
        accounting.arrive()
        accounting.settle(fate)
    found = status(accounting, trouble)
    assert (found.level, found.message) == (level, message)


def test_cameras_that_never_see_at_a_time_are_told_of():
    accounting = Accounting()
    accounting.arrive()
    accounting.settle('dropped')
    accounting.count('unpaired')
    found = status(accounting)
    assert (found.level, found.message) == (
        DiagnosticStatus.WARN,
        'no pair: 1 images lately had no partner',
    )


def test_lost_images_are_unknown_unless_the_middleware_tells():
    accounting = Accounting()
    assert values_of(status(accounting))['lost'] == 'unknown'
    accounting.lost_is_known = True
    accounting.count('lost', 3)
    assert values_of(status(accounting))['lost'] == '3'
