"""Lists of training and calibration pictures, which exclude the evaluation scenes."""

import hashlib
import json
import re
import zipfile
from pathlib import Path

import pytest

from training import data
from training.data import Picture, fetch_pictures

ROOT = Path(__file__).parents[2]
TRAINING = json.loads((ROOT / 'training' / 'pictures.json').read_text(encoding='utf-8'))
EVALUATION = json.loads(
    (ROOT / 'superpoint_rknn' / 'evaluate' / 'scenes.json').read_text(encoding='utf-8')
)
CALIBRATED = [
    card
    for card in map(json.loads, (p.read_text() for p in sorted((ROOT / 'models').glob('*.json'))))
    if 'calibration' in card
]
FREE = {
    'public-domain',
    'CC0-1.0',
    'CC-BY-2.0',
    'CC-BY-4.0',
    'MIT',
    'BSD-3-Clause',
    'Apache-2.0 AND BSD-3-Clause',
}


@pytest.mark.parametrize('section', EVALUATION)
def test_no_picture_is_an_evaluation_scene(section):
    evaluated = {entry['sha256'] for entry in EVALUATION[section]}
    assert len(evaluated) >= 3
    same = [p['path'] for p in TRAINING['pictures'] if p['sha256'] in evaluated]
    assert not same


def test_each_picture_is_listed_once_with_one_use():
    pictures = TRAINING['pictures']
    assert len({picture['sha256'] for picture in pictures}) == len(pictures) > 300
    assert {picture['use'] for picture in pictures} == {'training', 'validation'}
    assert all(picture['use'] == 'training' for picture in pictures if 'calibration' in picture)


def test_each_picture_has_an_author_and_a_free_licence():
    assert {picture['licence'] for picture in TRAINING['pictures']} == FREE
    assert all(picture['author'] for picture in TRAINING['pictures'])


def test_packages_are_pinned():
    packages = {package['name']: package for package in TRAINING['packages']}
    assert {picture['package'] for picture in TRAINING['pictures']} <= set(packages)
    for package in packages.values():
        assert package['version']
        if package['kind'] == 'deb':
            assert package['release'] in {'bookworm', 'trixie', 'sid'}
        else:
            assert re.fullmatch('[0-9a-f]{64}', package['sha256'])


def test_pictures_are_extracted_from_packages(tmp_path, monkeypatch):
    monkeypatch.setattr(data, 'CACHE', tmp_path)
    monkeypatch.setattr(data, 'fetch', lambda package, folder: tmp_path / f'{package.name}.whl')
    entry = {'package': 'scikit-image', 'licence': 'CC0-1.0', 'author': 'x', 'use': 'training'}
    names = ['good.png', 'bad.png']
    with zipfile.ZipFile(tmp_path / 'scikit-image.whl', 'w') as file:
        for name in names:
            file.writestr(name, name)
    good, bad = (
        Picture(path=n, sha256=hashlib.sha256(b'good.png').hexdigest(), **entry) for n in names
    )
    fetch_pictures([good])
    assert good.file.read_bytes() == b'good.png'
    with pytest.raises(ValueError, match=r'bad\.png has SHA-256 .*remove .*scikit-image\.whl'):
        fetch_pictures([good, bad])
    assert not bad.file.exists()


@pytest.mark.parametrize('card', CALIBRATED, ids=lambda card: card['name'])
def test_calibration_pictures_of_the_models_are_listed(card):
    *pictures, ramp = [entry['name'] for entry in card['calibration']]
    assert ramp == 'ramp 0..255'
    listed = [Path(p['path']).name for p in TRAINING['pictures'] if 'calibration' in p]
    assert sorted(pictures) == sorted(listed)
