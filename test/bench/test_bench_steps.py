import numpy as np
import pytest

from superpoint_rknn.bench.steps import BYTES_PER_PIXEL, numeric_steps
from superpoint_rknn.features.keypoints import Keypoints

EXPECTED = [
    *(f'convert_{encoding}' for encoding in BYTES_PER_PIXEL),
    'input_table',
    'decode',
    'refine_500',
    'describe_500',
    'convert_to',
]


def arrays(result):
    if isinstance(result, Keypoints):
        return result.x, result.y, result.score
    return (result,)


def test_names_of_the_steps(recording):
    assert [step.name for step in numeric_steps(recording)] == EXPECTED


@pytest.mark.parametrize('name', EXPECTED)
def test_step_and_baseline_have_the_same_result(recording, name):
    (step,) = (step for step in numeric_steps(recording) if step.name == name)
    tolerances = {'refine_500': 1e-3, 'describe_500': 1e-5, 'convert_to': 1e-5, 'decode': 1e-5}
    tolerance = tolerances.get(name, 0)
    for index in range(3):
        step.prepare(index)
        ours, baseline = arrays(step.ours(index)), arrays(step.baseline(index))
        assert ours[0].size > 50
        for a, b in zip(ours, baseline, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


def test_images_are_used_in_turn(recording):
    step = next(numeric_steps(recording))
    assert np.array_equal(step.ours(0), recording.images[0])
    assert np.array_equal(step.ours(1), recording.images[1])
    assert np.array_equal(step.ours(2), recording.images[0])
