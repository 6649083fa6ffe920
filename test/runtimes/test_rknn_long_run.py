"""Many inferences leak neither memory nor resources. As a script: 100,000 of each kind."""

import gc
import sys
from pathlib import Path

import numpy as np
import pytest

from superpoint_rknn.runtimes.rknn.runtime import LibrknnRuntime

PAGE = 4096  # [bytes] of the unit in /proc/self/statm


def resident() -> int:
    """Resident memory of this process [bytes]."""
    return int(Path('/proc/self/statm').read_text().split()[1]) * PAGE


def run_many(standin, model, inferences: int, zero_copy: bool) -> dict[str, int]:
    """Run inferences, every third without descriptors; return growth and unreleased resources."""
    standin.set_superpoint(height=16, width=24, channels=8)
    logits, raw = standin.set_random_outputs()
    images = np.random.default_rng(1).integers(0, 256, (7, 16, 24), np.uint8)
    runtime = LibrknnRuntime(model, library=standin.path, zero_copy=zero_copy)
    descriptors = np.zeros(raw.shape, raw.dtype)
    before = None
    for i in range(inferences):
        if i == inferences // 4:
            gc.collect()
            before = resident()
        result = runtime.infer(images[i % 7], None if i % 3 == 0 else descriptors)
    gc.collect()
    growth = resident() - before
    np.testing.assert_array_equal(result, logits)
    np.testing.assert_array_equal(descriptors, raw)
    runtime.close()
    return {
        'grown': growth,
        'gets': standin.count('rknn_outputs_get'),
        'releases': standin.count('rknn_outputs_release'),
        'outputs': standin.count('outputs'),
        'mems': standin.count('mems'),
        'contexts': standin.count('contexts'),
    }


def check(figures: dict[str, int], gets: int) -> None:
    assert figures['gets'] == figures['releases'] == gets
    assert figures['outputs'] == figures['mems'] == figures['contexts'] == 0
    assert figures['grown'] < 3 << 20  # allows a huge page; leaked logits would be 4.7 MB


@pytest.mark.parametrize('zero_copy', [False, True])
def test_no_leaks(standin, model, zero_copy):
    if standin.generation == 1 and zero_copy:
        pytest.skip('generation 1 has no zero copy')
    figures = run_many(standin, model, 4000, zero_copy)
    check(figures, gets=1 if zero_copy else 4000)


def main(inferences: int = 100_000) -> None:
    import tempfile

    sys.path.insert(0, str(Path(__file__).parents[1] / 'rknn_standin'))
    from rknn_standin import MODEL, Standin, build

    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, 'superpoint.rknn')
        model.write_bytes(MODEL)
        for generation, zero_copy in ((1, False), (2, False), (2, True)):
            library = Path(folder, f'{zero_copy}')
            standin = Standin(generation, build(generation, library))
            figures = run_many(standin, model, inferences, zero_copy)
            print(f'v{generation}, zero copy {zero_copy}, {inferences} inferences: {figures}')
            check(figures, gets=1 if zero_copy else inferences)
            assert standin.violations() == ''


if __name__ == '__main__':
    main()
