"""What `models/` says about the networks that it ships."""

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


@pytest.mark.parametrize('name', ['superpoint.npz', 'superpoint_400x640_u8.onnx'])
def test_card_belongs_to_the_file(name):
    card = json.loads((MODELS / name).with_suffix('.json').read_text())
    assert card['sha256'] == hashlib.sha256((MODELS / name).read_bytes()).hexdigest()
    assert card['licence'].startswith('Apache-2.0')


def test_calibration_of_the_quantised_network():
    card = json.loads((MODELS / 'superpoint_400x640_u8.json').read_text())
    weights = json.loads((MODELS / 'superpoint.json').read_text())
    assert card['weights'] == {'name': 'superpoint.npz', 'sha256': weights['sha256']}
    assert (card['input']['scale'], card['input']['zero_point']) == (1, 0)
    *pictures, ramp = [entry['name'] for entry in card['calibration']]
    assert ramp == 'ramp 0..255'
    origin = (MODELS / 'ORIGIN.md').read_text()
    for picture in pictures:
        assert not picture.startswith(EVALUATED)
        assert picture.split('.')[0] in origin
