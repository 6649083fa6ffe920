"""How many of the newest images were lost, counted or by their stamps."""

import numpy as np
import pytest
from builtin_interfaces.msg import Time

from superpoint_rknn.nodes.common import lost_images
from superpoint_rknn.nodes.common.lost_images import LostImages, remedy

PERIOD = 1 / 30  # [s]


def warning(seconds, gaps=None):
    images = LostImages()
    for i, second in enumerate(seconds):
        whole, fraction = divmod(second, 1.0)
        stamp = Time(sec=int(whole), nanosec=int(1e9 * fraction))
        images.add(stamp, None if gaps is None else gaps[i])
    return images.warning()


def received(share, jitter=0.0, count=90, seed=0):
    """Stamps [s] of the images that arrive, a share of `count`, of a camera with jitter."""
    random = np.random.default_rng(seed)
    stamps = 1000 + PERIOD * (np.arange(count) + random.normal(0, jitter, count))
    return stamps[random.random(count) < share]


@pytest.mark.parametrize('seed', range(10))
@pytest.mark.parametrize('jitter', [0.0, 0.03])
def test_missing_images_are_seen_in_the_stamps(jitter, seed):
    stamps = received(0.6, jitter, seed=seed)[-60:]
    sent = round((stamps[-1] - stamps[0]) / PERIOD) + 1
    expected = f'{sent - len(stamps)} of {sent} images missing, by their stamps'
    assert warning(stamps) == expected


@pytest.mark.parametrize('seed', range(10))
@pytest.mark.parametrize('jitter', [0.0, 0.03, 0.1, 0.3])
def test_jitter_is_no_loss(jitter, seed):
    assert warning(received(1.0, jitter, seed=seed)) is None


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize(
    'stamps',
    [
        received(0.95),  # few are lost
        received(0.6, count=25),  # too short
        np.arange(60) / 7,  # a slow camera
        np.r_[0:30, 60:120:2] * PERIOD,  # half the rate from the middle on, in the dark
        np.add.outer(10 * np.arange(6), np.arange(10) * PERIOD).ravel(),  # with pauses
        np.cumsum(np.random.default_rng(0).uniform(0.03, 0.2, 60)),  # triggered by something
        np.zeros(60),  # no stamps
        np.arange(60)[::-1] * PERIOD,  # a recording played backwards
    ],
)
def test_no_warning(stamps):
    assert warning(stamps) is None


def test_losses_are_counted_where_messages_are_numbered():
    stamps = np.zeros(30)
    assert warning(stamps, [0, 1, 0, 1, 0] * 6) == '12 of 42 images lost'
    assert warning(stamps, [0, 0, 0, 0, 1] * 6) is None
    assert warning(stamps[:10], [1] * 10) is None


def test_only_the_newest_images_count():
    assert warning(np.zeros(90), [1] * 30 + [0] * 60) is None


@pytest.mark.parametrize(
    ('reliable', 'size', 'distro', 'rmw', 'expected'),
    [
        (True, 10**6, 'humble', 'rmw_fastrtps_cpp', 'CPU is too busy'),
        (False, 10**6, 'humble', 'rmw_fastrtps_cpp', ' FASTRTPS_DEFAULT_PROFILES_FILE=/'),
        (False, 10**6, 'kilted', 'rmw_fastrtps_cpp', ' FASTDDS_DEFAULT_PROFILES_FILE=/'),
        (False, 10**6, 'humble', 'rmw_cyclonedds_cpp', 'set it to RELIABLE'),
        (False, 10**5, 'humble', 'rmw_fastrtps_cpp', 'set it to RELIABLE'),
    ],
)
def test_the_remedy_fits_the_cause(monkeypatch, reliable, size, distro, rmw, expected):
    monkeypatch.setenv('ROS_DISTRO', distro)
    monkeypatch.setattr(lost_images, 'get_rmw_implementation_identifier', lambda: rmw)
    assert expected in remedy(reliable, size)
