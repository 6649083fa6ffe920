"""Sources of images of the demo."""

from itertools import islice

import cv2
import images
import numpy as np
import pytest

from superpoint_rknn.evaluate.tracks import visp_images
from superpoint_rknn.fetch.package import FetchError
from superpoint_rknn.sources.frame import Frame


def frames(count):
    """Images of one pixel whose value is the number of the image."""
    return [Frame(np.full((1, 1), i, np.uint8), None, str(i)) for i in range(count)]


def values(count, shown, **options):
    played = images.back_and_forth(lambda: frames(count), **options)
    return [int(image[0, 0]) for image in islice(played, shown)]


@pytest.mark.parametrize(
    ('count', 'expected'),
    [
        (1, [0, 0, 0, 0, 0, 0, 0, 0]),
        (2, [0, 1, 0, 1, 0, 1, 0, 1]),
        (4, [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0]),
    ],
)
def test_a_short_sequence_is_played_forward_and_backward(count, expected):
    assert values(count, len(expected)) == expected


def test_a_sequence_above_the_memory_limit_is_repeated_forward():
    assert values(3, 7, memory=2) == [0, 1, 2, 0, 1, 2, 0]


def test_a_source_without_images_raises():
    with pytest.raises(ValueError, match='no images'):
        next(images.back_and_forth(lambda: []))


def test_the_sweep_stays_on_the_wall_and_is_a_loop():
    rows, cols = images.TILE
    wall = (2 * rows, 3 * cols)
    corners = np.array([images.view_corners(i, wall) for i in range(images.PERIOD + 1)])
    assert corners.min() >= 0
    assert (corners <= (wall[1], wall[0])).all()
    np.testing.assert_allclose(corners[0], corners[-1], atol=0.01)
    assert np.abs(np.diff(corners, axis=0)).max() < 20  # [px] from one image to the next


def test_the_sweep_is_reproducible():
    one, other = (next(images.sweep()).image for _ in range(2))
    assert one.shape == images.VIEW
    np.testing.assert_array_equal(one, other)


def test_a_missing_source_raises_with_its_name():
    with pytest.raises(OSError, match='/no/such/folder'):
        images.resolve('/no/such/folder')


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """Folder of the sequence in a simulated visp-images-data."""
    monkeypatch.setattr(visp_images, 'fetch_sequences', lambda: tmp_path)
    folder = tmp_path / visp_images.DESK
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize('suffix', ['.pgm', '.png'])
def test_the_fetched_sequence_is_played_by_default(recorded, capsys, suffix):
    cv2.imwrite(str(recorded / f'image0000{suffix}'), np.full((4, 6), 7, np.uint8))
    source = images.resolve('auto')
    assert source == str(recorded)
    assert (next(images.endless(source)) == 7).all()
    assert capsys.readouterr().err == 'demo: playing mbt/cube of visp-images-data\n'


def test_the_sweep_is_played_and_the_reason_printed_if_the_fetch_fails(monkeypatch, capsys):
    def fail():
        raise FetchError('no network')

    monkeypatch.setattr(visp_images, 'fetch_sequences', fail)
    assert images.resolve('auto') == images.SWEEP
    message = capsys.readouterr().err
    assert message == 'demo: playing a simulated sweep, not images of a camera: no network\n'


def test_the_sweep_is_played_if_the_package_has_no_images(recorded, capsys):
    assert images.resolve('auto') == images.SWEEP
    assert 'a simulated sweep, not images of a camera: ' in capsys.readouterr().err


def test_a_given_source_is_never_replaced(recorded):
    with pytest.raises(ValueError, match='no pictures'):
        images.resolve(str(recorded))
