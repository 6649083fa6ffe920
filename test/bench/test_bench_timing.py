import os
import platform
import subprocess
import sys

import numpy as np
import pytest

from superpoint_rknn.bench.timing import Step, in_turn, one_core, row


def test_a_row_tells_medians_and_their_ratio():
    ours, baseline = np.array([1, 2, 3, 4, 100]) * 1e-3, np.array([5, 6, 7, 8, 9]) * 1e-3
    assert row('step', 'plainly', ours, baseline) == {
        'name': 'step',
        'median_ms': 3.0,
        'p95_ms': 80.8,
        'baseline': 'plainly',
        'baseline_median_ms': 7.0,
        'ratio': pytest.approx(7 / 3, abs=1e-3),
    }


def test_both_ways_take_turns_on_the_same_image():
    calls = []
    step = Step(
        'step', lambda i: calls.append(('a', i)), lambda i: calls.append(('b', i)), 'plainly'
    )
    in_turn(step, 2)
    assert calls == [(way, index) for index in range(5) for way in 'ab']  # 3 of them warm up


def test_one_core_is_used_and_given_back():
    before = os.sched_getaffinity(0)
    with one_core():
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='options of glibc')
def test_freed_memory_is_kept():
    faults = [
        'import resource, numpy as np; from superpoint_rknn.bench.timing import keep_freed_memory',
        'work = lambda: [np.ones(2**23 + 2**20, np.float32).sum() for _ in range(3)]',
        'count = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt',
        'assert keep_freed_memory(); work(); before = count(); work(); print(count() - before)',
    ]
    run = subprocess.run([sys.executable, '-c', '\n'.join(faults)], capture_output=True, text=True)
    assert int(run.stdout) < 10, run.stderr  # of three arrays too large for the heap otherwise
