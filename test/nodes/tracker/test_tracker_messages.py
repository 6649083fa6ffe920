"""Keypoints and descriptors of strangers: what is refused, and why."""

import pytest

from superpoint_rknn.msg import Descriptors, Keypoints
from superpoint_rknn.nodes.tracker.messages import descriptor_rows, points_of

NAN = float('nan')


def keypoints(**fields):
    valid = {'height': 40, 'width': 60, 'x': [1.0, 59.0], 'y': [2.0, 39.0], 'score': [0.5, 0.25]}
    return Keypoints(**(valid | fields))


def test_valid_keypoints():
    points = points_of(keypoints(), (40, 60))
    assert (points.x.tolist(), points.score.tolist()) == ([1, 59], [0.5, 0.25])


@pytest.mark.parametrize(
    ('fields', 'reason'),
    [
        ({'height': 41}, r'height, width: 41, 60, the image has \(40, 60\)'),
        ({'score': [1.0]}, 'x, y, score: 2, 2, 1 values, expected equal numbers'),
        ({'x': [1.0, NAN]}, r'point 1 at \(nan, 39.0\), outside'),
        ({'y': [1e30, 1.0]}, r'point 0 at \(1.0, .*e\+30\), outside'),
        ({'score': [0.5, NAN]}, 'score: nan of point 1, expected numbers'),
    ],
)
def test_invalid_keypoints_are_refused(fields, reason):
    with pytest.raises(ValueError, match=reason):
        points_of(keypoints(**fields), (40, 60))


@pytest.mark.parametrize(
    ('dim', 'data', 'reason'),
    [
        (0, [], 'data: 0 values, expected 2 keypoints x 0'),
        (2**32 - 1, [1.0], 'data: 1 values, expected 2 keypoints x 4294967295'),
        (1, [1.0, NAN], 'data: not all values are finite'),
    ],
)
def test_invalid_descriptors_are_refused(dim, data, reason):
    with pytest.raises(ValueError, match=reason):
        descriptor_rows(Descriptors(keypoints=keypoints(), dim=dim, data=data))
