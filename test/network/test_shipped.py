"""Model cards and ORIGIN.md of the shipped models."""

import hashlib
import json
from pathlib import Path

import pytest

MODELS = Path(__file__).parents[2] / 'models'
EVALUATED = (
    *('graf', 'aloe', 'home', 'building', 'board', 'aero', 'box_in_scene', 'leuven', 'fruits'),
    *('basketball', 'rubberwhale', 'stuff', 'messi5', 'baboon', 'scenetext', 'astronaut'),
    *('coffee', 'chelsea', 'rocket', 'motorcycle', 'camera', 'brick', 'gravel', 'page'),
)


NAMES = ('superpoint', 'superpoint_small')


@pytest.mark.parametrize('suffix', ['.npz', '_400x640_u8.onnx'])
@pytest.mark.parametrize('name', NAMES)
def test_card_belongs_to_the_file(name, suffix):
    file = MODELS / f'{name}{suffix}'
    card = json.loads(file.with_suffix('.json').read_text())
    assert card['sha256'] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert card['licence'].startswith('Apache-2.0')


@pytest.mark.parametrize('name', NAMES)
def test_calibration_images_are_documented(name):
    card = json.loads((MODELS / f'{name}_400x640_u8.json').read_text())
    weights = json.loads((MODELS / f'{name}.json').read_text())
    assert card['weights'] == {'name': f'{name}.npz', 'sha256': weights['sha256']}
    assert (card['input']['scale'], card['input']['zero_point']) == (1, 0)
    *pictures, ramp = [entry['name'] for entry in card['calibration']]
    assert ramp == 'ramp 0..255'
    origin = (MODELS / 'ORIGIN.md').read_text()
    for picture in pictures:
        assert not picture.startswith(EVALUATED)
        assert picture.split('_by_')[0].split('.')[0] in origin
