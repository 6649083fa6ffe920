"""The clock that stands still while its process does."""

from superpoint_rknn.nodes.common.running_clock import MAX_STEP, RunningClock


def test_it_stands_still_while_nothing_reads_it():
    now = [100.0]
    clock = RunningClock(lambda: now[0])
    for _ in range(10):
        now[0] += 0.5
        clock()
    assert clock() == 5.0
    assert clock.take_gap() == 0.5
    now[0] += 60
    assert clock() == 5.0 + MAX_STEP
    assert clock.take_gap() == 60
    assert clock.take_gap() == 0
