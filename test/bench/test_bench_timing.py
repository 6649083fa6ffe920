import os
import platform
import subprocess
import sys

import numpy as np
import pytest

from superpoint_rknn.bench.timing import Step, pinned_to_one_core, statistics, time_step


def test_statistics_are_medians_and_their_ratio():
    ours, baseline = np.array([1, 2, 3, 4, 100]) * 1e-3, np.array([5, 6, 7, 8, 9]) * 1e-3
    assert statistics('step', 'plain', ours, baseline) == {
        'name': 'step',
        'median_ms': 3.0,
        'p95_ms': 80.8,
        'baseline': 'plain',
        'baseline_median_ms': 7.0,
        'ratio': pytest.approx(7 / 3, abs=1e-3),
    }


def test_step_and_baseline_take_turns_on_the_same_image():
    calls = []
    step = Step(
        'step', lambda i: calls.append(('a', i)), lambda i: calls.append(('b', i)), 'plain'
    )
    time_step(step, 2)
    assert calls == [
        (variant, index) for index in range(5) for variant in 'ab'
    ]  # 3 of them warm up


def test_the_affinity_is_restored():
    before = os.sched_getaffinity(0)
    with pinned_to_one_core():
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='options of glibc')
def test_freed_memory_is_kept():
    faults = [
        'import resource, numpy as np; from superpoint_rknn.memory import keep_freed_memory',
        'work = lambda: [np.ones(2**23 + 2**20, np.float32).sum() for _ in range(3)]',
        'count = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt',
        'assert keep_freed_memory(); work(); before = count(); work(); print(count() - before)',
    ]
    run = subprocess.run([sys.executable, '-c', '\n'.join(faults)], capture_output=True, text=True)
    assert int(run.stdout) < 10, run.stderr  # three such arrays cause thousands by default
