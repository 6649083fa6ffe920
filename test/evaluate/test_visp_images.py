"""Extraction of the sequences of visp-images-data, as .pgm and as .png."""

import hashlib
import shutil
import zipfile

import cv2
import numpy as np
import pytest

from superpoint_rknn.evaluate.tracks import visp_images
from superpoint_rknn.evaluate.tracks.visp_images import IMAGES, POSES, Folder, extract

GREY = [np.full((3, 4), value, np.uint8) for value in (10, 200)]
POSE = b'1 0 0 0'


def sha256(*parts):
    return hashlib.sha256(b''.join(parts)).hexdigest()


def package(path, suffix, grey=GREY):
    """A package with two images and a pose, and files that do not belong to them."""
    root = str(visp_images.INSTALLED).lstrip('/')
    with zipfile.ZipFile(path, 'w') as file:  # read like a Debian package, without dpkg
        for number, image in enumerate(grey):
            content = cv2.imencode(suffix, image)[1].tobytes()
            file.writestr(f'{root}/cube/image.{number}{suffix}', content)
            file.writestr(f'{root}/iv/image.{number}{suffix}', content)
        file.writestr(f'{root}/cube/notes.txt', 'notes')
        file.writestr(f'{root}/poses/1.txt', POSE)
    return path


@pytest.fixture(autouse=True)
def folders(monkeypatch):
    expected = {
        'cube': Folder(IMAGES, 2, sha256(*(image.tobytes() for image in GREY))),
        'poses': Folder(POSES, 1, sha256(POSE)),
    }
    monkeypatch.setattr(visp_images, 'FOLDERS', expected)


@pytest.mark.parametrize('suffix', ['.pgm', '.png'])
def test_only_the_sequences_are_extracted(tmp_path, suffix):
    taken = tmp_path / 'taken'
    extract(package(tmp_path / 'visp.whl', suffix), taken)
    found = sorted(str(path.relative_to(taken)) for path in taken.rglob('*.*'))
    assert found == [f'cube/image.0{suffix}', f'cube/image.1{suffix}', 'poses/1.txt']
    for image, expected in zip(visp_images.read_images(taken, 'cube'), GREY, strict=True):
        np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize('suffix', ['.pgm', '.png'])
def test_other_grey_values_raise(tmp_path, suffix):
    other = package(tmp_path / 'visp.whl', suffix, GREY[::-1])
    with pytest.raises(ValueError, match=r'visp\.whl: cube has SHA-256 .*, expected '):
        extract(other, tmp_path / 'taken')


def test_a_missing_image_raises(tmp_path):
    with pytest.raises(ValueError, match=r'cube has 1 files \*\.pgm or \*\.png, expected 2'):
        extract(package(tmp_path / 'visp.whl', '.png', GREY[:1]), tmp_path / 'taken')


@pytest.fixture
def fetched(tmp_path, monkeypatch):
    """Function that replaces the download by a given package."""
    monkeypatch.setattr(visp_images, 'INSTALLED', tmp_path / 'installed')
    monkeypatch.setattr(visp_images, 'DESK', 'cube')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    (tmp_path / 'superpoint_rknn').mkdir()

    def use(path):
        monkeypatch.setattr(visp_images, 'fetch', lambda package, folder: path)

    return use


def test_fetching_keeps_the_sequences_and_removes_the_package(tmp_path, fetched):
    path = package(tmp_path / 'visp.whl', '.png')
    fetched(path)
    root = visp_images.fetch_sequences()
    assert root == visp_images.find() == tmp_path / 'superpoint_rknn/visp-images-data'
    assert not path.exists()
    assert visp_images.fetch_sequences() == root  # without another download
    shutil.rmtree(root)
    assert visp_images.find() is None


def test_a_package_with_other_content_leaves_no_files(tmp_path, fetched):
    fetched(package(tmp_path / 'visp.whl', '.png', GREY[::-1]))
    with pytest.raises(ValueError, match='SHA-256'):
        visp_images.fetch_sequences()
    assert list((tmp_path / 'superpoint_rknn').iterdir()) == []
