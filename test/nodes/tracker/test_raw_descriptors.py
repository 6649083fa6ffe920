import numpy as np
import pytest
from std_msgs.msg import Header

from superpoint_rknn.features.keypoints import Keypoints as Points
from superpoint_rknn.nodes.common.messages import (
    descriptors_message,
    keypoints_message,
    raw_descriptors_message,
)
from superpoint_rknn.nodes.tracker.messages import descriptor_rows


@pytest.fixture
def rows():
    """Unit descriptors of 100 keypoints."""
    values = np.random.default_rng(1).normal(0, 1, (100, 256)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@pytest.fixture
def keypoints(rows):
    points = Points(*np.zeros((3, len(rows)), np.float32))
    return keypoints_message(Header(frame_id='cam'), (8, 8), points)


def test_descriptors_in_8_bits_convert_to_nearly_the_same_unit_descriptors(rows, keypoints):
    message = raw_descriptors_message(keypoints, rows, 'net@1234')
    assert (message.header, message.keypoints, message.model) == (
        keypoints.header,
        keypoints,
        'net@1234',
    )
    assert (len(message.data), message.dim, message.zero_point) == (rows.size, 256, 128)
    converted = descriptor_rows(message)
    assert converted.dtype == np.float32
    assert np.linalg.norm(converted, axis=1) == pytest.approx(1, abs=1e-6)
    assert (converted * rows).sum(axis=1).min() > 0.9995
    assert np.array_equal(descriptor_rows(descriptors_message(keypoints, rows, 'm')), rows)


def test_a_descriptor_of_zeros_stays_one(rows, keypoints):
    rows[3] = 0
    assert not descriptor_rows(raw_descriptors_message(keypoints, rows, 'm'))[3].any()


@pytest.mark.parametrize(
    ('field', 'value', 'reason'),
    [
        ('dim', 255, 'data: 25600 values, expected 100 keypoints x 255'),
        ('dim', 0, 'data: 25600 values'),
        ('scale', 0.0, 'scale: 0.0, expected a positive number'),
        ('scale', float('nan'), 'scale: nan'),
        ('scale', float('inf'), 'scale: inf'),
    ],
)
def test_invalid_descriptors_in_8_bits_are_refused(rows, keypoints, field, value, reason):
    message = raw_descriptors_message(keypoints, rows, 'm')
    setattr(message, field, value)
    with pytest.raises(ValueError, match=f'^{reason}'):
        descriptor_rows(message)
