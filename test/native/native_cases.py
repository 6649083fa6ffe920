"""Cases and comparisons that several tests of the native functions share."""

import numpy as np

from superpoint_rknn.features.quantization import Quantization

TOLERANCE = 1e-6  # of scores
QUANTIZATIONS = {
    'uint8': Quantization(0.0039, 121, np.dtype(np.uint8)),
    'int8': Quantization(0.0039, -7, np.dtype(np.int8)),
    'float32': None,
}


def positions(keypoints):
    return list(zip(keypoints.y.tolist(), keypoints.x.tolist(), strict=True))


def assert_same(found, expected):
    """The same points in the same order, with the same scores up to rounding."""
    assert found.x.dtype == found.y.dtype == found.score.dtype == np.float32
    assert positions(found) == positions(expected)
    np.testing.assert_allclose(found.score, expected.score, rtol=0, atol=TOLERANCE)


def assert_same_but_near_ties(found, expected):
    """The same points; those whose scores differ by less than the tolerance in any order."""
    assert sorted(positions(found)) == sorted(positions(expected))
    np.testing.assert_allclose(found.score, expected.score, rtol=0, atol=TOLERANCE)
    scores = dict(zip(positions(expected), expected.score.tolist(), strict=True))
    found_scores = [scores[position] for position in positions(found)]
    np.testing.assert_allclose(found.score, found_scores, rtol=0, atol=TOLERANCE)


def logits_of(kind, rows, cols, seed):
    """Random logits (65, rows, cols); 'templates': of three cells, so that many scores tie."""
    rng = np.random.default_rng(seed)
    if kind == 'constant':
        return np.zeros((65, rows, cols), np.float32)
    if kind == 'templates':
        templates = rng.integers(-3, 4, (3, 65)).astype(np.float32)
        return np.ascontiguousarray(templates[rng.integers(0, 3, (rows, cols))].transpose(2, 0, 1))
    logits = rng.normal(0, {'weak': 1, 'strong': 6, 'huge': 1e3}[kind], (65, rows, cols))
    logits[64] += 3
    return logits.astype(np.float32)
