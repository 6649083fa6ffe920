"""What the demo plays."""

import shutil
import subprocess
from itertools import islice
from pathlib import Path

import images
import numpy as np
import pytest
import visp

from superpoint_rknn.sources.frame import Frame


def frames(count):
    """Images of one pixel each, whose value is their number."""
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


def test_a_sequence_too_long_for_the_memory_starts_over():
    assert values(3, 7, memory=2) == [0, 1, 2, 0, 1, 2, 0]


def test_a_source_without_images_is_refused():
    with pytest.raises(ValueError, match='no images'):
        next(images.back_and_forth(lambda: []))


def test_the_sweep_stays_on_its_wall_and_ends_where_it_began():
    rows, cols = images.TILE
    wall = (2 * rows, 3 * cols)
    corners = np.array([images.view_corners(i, wall) for i in range(images.PERIOD + 1)])
    assert corners.min() >= 0
    assert (corners <= (wall[1], wall[0])).all()
    np.testing.assert_allclose(corners[0], corners[-1], atol=0.01)
    assert np.abs(np.diff(corners, axis=0)).max() < 20  # [px] from one image to the next


def test_the_sweep_is_the_same_each_time():
    one, other = (next(images.sweep()).image for _ in range(2))
    assert one.shape == images.VIEW
    np.testing.assert_array_equal(one, other)


def test_a_source_that_does_not_exist_is_named():
    with pytest.raises(OSError, match='/no/such/folder'):
        images.resolve('/no/such/folder', Path('unused'))


def test_a_known_package_with_other_content_is_refused(tmp_path):
    known = tmp_path / next(iter(visp.SHA256))
    known.write_bytes(b'something else')
    with pytest.raises(ValueError, match='SHA-256'):
        visp.check(known)


def test_a_package_of_another_version_is_left_to_apt(tmp_path):
    newer = tmp_path / 'visp-images-data_9.9.9-1_all.deb'
    newer.write_bytes(b'content')
    visp.check(newer)


@pytest.mark.skipif(shutil.which('dpkg-deb') is None, reason='needs dpkg-deb')
def test_only_the_images_of_the_sequence_are_taken_from_a_package(tmp_path):
    tree = tmp_path / 'tree'
    sequence = tree / 'usr/share/visp-images-data/ViSP-images' / visp.SEQUENCE
    for path in ('image0000.pgm', 'image0001.pgm', 'cube.cao', '../other.pgm'):
        sequence.mkdir(parents=True, exist_ok=True)
        (sequence / path).write_text(path)
    (tree / 'DEBIAN').mkdir()
    (tree / 'DEBIAN' / 'control').write_text(
        'Package: images\nVersion: 1\nArchitecture: all\nMaintainer: none\nDescription: images\n'
    )
    package, images_only = tmp_path / 'images.deb', tmp_path / 'images'
    subprocess.run(['dpkg-deb', '--build', tree, package], check=True, capture_output=True)
    images_only.mkdir()
    visp.extract(package, images_only)
    found = {path.name: path.read_text() for path in images_only.iterdir()}
    assert found == {name: name for name in ('image0000.pgm', 'image0001.pgm')}
