"""Figures and consistency checks of a run."""

import dataclasses

import numpy as np
import pytest

demo_bag = pytest.importorskip('bag', reason='the demo records with the rosbags library')
summary = pytest.importorskip('summary')

MS = 10**6  # [ns]


def points(index, x=(1.0, 2.0)):
    """Points of image `index`; the images are 100 ms apart."""
    header = demo_bag.Header(1, index * 100 * MS, 'camera')
    x = np.array(x, np.float32)
    return demo_bag.Points(header, (480, 640), x, x + 1, x / 10)


def received(index, latency_ms, **options):
    found = points(index, **options)
    return demo_bag.Received(found, found.header.stamp_ns + latency_ms * MS)


REPORTS = {
    'superpoint': {
        'received': '4',
        'published': '3',
        'dropped': '1',
        'failed': '0',
        'descriptors': '2',
        'runtime': 'onnxruntime',
        'model': 'net@12345678',
    },
    'tracker': {'received': '5', 'published': '4', 'dropped': '1', 'failed': '0'},
}


def recording():
    """Five images, keypoints of three, descriptors of two, tracks of four."""
    return demo_bag.Recording(
        images=[points(i).header for i in range(5)],
        keypoints=[received(0, 50), received(2, 60, x=(1, 2, 3)), received(4, 50)],
        descriptors=[received(0, 100), received(4, 100)],
        tracks=[received(i, 70, x=range(i)) for i in range(4)],
        matches=[
            demo_bag.Matches(points(0).header, points(4).header, np.ones((n, 2)), np.ones((n, 2)))
            for n in (3, 4)
        ],
    )


def test_figures_of_a_run():
    figures = summary.summarise(recording(), REPORTS, 5, 'sweep', 10.0)
    assert figures == {
        'source': 'sweep',
        'rate_hz': 10.0,
        'images_published': 5,
        'images_received': 4,
        'images_dropped': 1,
        'images_failed': 0,
        'images_lost': 1,
        'keypoints_messages': 3,
        'descriptors_messages': 2,
        'tracks_messages': 4,
        'points_mean': 2.3,  # (2 + 3 + 2) / 3
        'tracks_mean': 1.5,  # (0 + 1 + 2 + 3) / 4
        'matches_mean': 3.5,
        'matches_apart_s': 0.4,
        'keypoints_hz': 5.0,  # two periods in 400 ms
        'descriptors_hz': 2.5,  # one period in 400 ms
        'tracks_hz': 10.0,
        'latency_ms': {'p50': 50.0, 'p95': 59.0},  # nine tenths of the way from 50 to 60
        'tracks_latency_ms': {'p50': 70.0, 'p95': 70.0},
        'stamps_match': True,
        'runtime': 'onnxruntime',
        'model': 'net@12345678',
    }
    assert summary.problems(figures, recording(), REPORTS) == []
    assert 'latency_ms p95         59.0' in summary.table(figures)


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({}, True),
        ({'descriptors': []}, True),
        ({'keypoints': [received(9, 1)], 'descriptors': []}, False),  # of no image
        ({'keypoints': [received(0, 1), received(0, 2)], 'descriptors': []}, False),  # two of one
        ({'descriptors': [received(1, 1)]}, False),  # without keypoints
        ({'descriptors': [received(0, 1, x=(1, 3))]}, False),  # of other points
        ({'tracks': [received(9, 1)]}, False),  # of no image
        ({'tracks': [received(0, 1), received(0, 2)]}, False),  # two of one image
    ],
)
def test_stamps_match(changes, expected):
    assert summary.stamps_match(dataclasses.replace(recording(), **changes)) is expected


@pytest.mark.parametrize(
    ('changes', 'superpoint', 'tracker', 'published', 'phrase'),
    [
        ({'keypoints': [], 'descriptors': []}, {}, {}, 5, 'no keypoints arrived'),
        ({'descriptors': []}, {'descriptors': '0'}, {}, 5, 'no descriptors arrived'),
        ({}, {'failed': '1', 'received': '5'}, {}, 5, 'failed on 1 images'),
        (
            {},
            {'received': '5'},
            {},
            5,
            'received 5 images, but keypoints, dropped and failed are 4',
        ),
        ({}, {'descriptors': '3'}, {}, 5, 'published 3 descriptors, 2 arrived'),
        ({}, {}, {'published': '5'}, 5, 'published tracks of 5 images, 4 arrived'),
        ({}, {}, {'failed': '1'}, 5, 'the tracker failed on 1 images'),
        ({}, {}, {}, 3, 'received 4 images of 3 published'),
        ({}, {}, {}, 6, 'the recorder received 5 of 6 images'),
    ],
)
def test_inconsistent_figures_are_reported(changes, superpoint, tracker, published, phrase):
    found = dataclasses.replace(recording(), **changes)
    stated = {
        'superpoint': REPORTS['superpoint'] | superpoint,
        'tracker': REPORTS['tracker'] | tracker,
    }
    figures = summary.summarise(found, stated, published, 'sweep', 10.0)
    assert any(phrase in problem for problem in summary.problems(figures, found, stated))
