"""The 8-bit network of the CPU runtime against recorded outputs of rknn-toolkit2's simulator."""

import json

import numpy as np
import pytest
import simulator_fixture as kept

from superpoint_rknn.features.descriptors import DescriptorSampler
from superpoint_rknn.features.quantization import Quantization
from superpoint_rknn.runtimes.model_files import default_model, shipped_models
from superpoint_rknn.runtimes.onnx.runtime import OnnxRuntime

MAX_BYTES = 300_000


@pytest.fixture(scope='module')
def facts():
    return json.loads(kept.FACTS.read_text(encoding='utf-8'))


@pytest.fixture(scope='module')
def comparison(facts):
    """By image: cosines of the recorded descriptors, and share of keypoints within 1 px."""
    runtime = OnnxRuntime(default_model(None))
    shape = runtime.descriptors.shape[1:]
    raw, simulated = np.empty(shape, np.uint8), np.zeros(shape, np.int8)
    ours = DescriptorSampler(*shape, runtime.descriptors.quantization)
    theirs = DescriptorSampler(
        *shape, Quantization(**facts['quantization']['convDb'], dtype=np.int8)
    )
    results = {}
    with np.load(kept.ARRAYS, allow_pickle=False) as arrays:
        for image in facts['images']:
            name = image['name']
            grey = kept.model_input(name)
            assert kept.sha256(grey) == image['sha256']['image'], f'{name} is a different picture'
            points = kept.keypoints(runtime.infer(grey, raw))
            x, y = arrays[f'{name}.x'].astype(np.float32), arrays[f'{name}.y'].astype(np.float32)
            simulated.reshape(len(raw), -1)[:, kept.taps(x, y)] = arrays[f'{name}.descriptors']
            some = x[:: kept.EVERY], y[:: kept.EVERY]
            cosines = (
                ours.sample_descriptors(raw, *some) * theirs.sample_descriptors(simulated, *some)
            ).sum(1)
            results[name] = cosines, share_within_a_pixel(x, y, points)
    runtime.close()
    return results


def share_within_a_pixel(x, y, points):
    distance = np.hypot(x[:, None] - points.x, y[:, None] - points.y)
    return (distance.min(1) <= 1).mean()


def test_descriptors_agree(comparison):
    every = np.concatenate([cosine for cosine, _ in comparison.values()])
    assert len(every) == 10 * 500 // kept.EVERY
    assert every.mean() >= 0.9999
    assert every.min() > 0.98
    for name, (cosine, _) in comparison.items():
        assert cosine.mean() >= 0.997, name  # the worst is retina, which is dark


def test_keypoints_agree(comparison):
    shares = {name: share for name, (_, share) in comparison.items()}
    assert np.mean(list(shares.values())) >= 0.97
    assert min(shares.values()) > 0.9, shares


def test_quantization_equals_that_of_the_shipped_models(facts):
    """The simulation, the .rknn files and the CPU network were made from the same weights."""
    cards = {
        path.stem.rpartition('_')[2]: json.loads(path.read_text(encoding='utf-8'))
        for path in shipped_models().glob('superpoint_400x640_*.json')
    }
    assert set(cards) == {'u8', 'rv1126b', 'rk3588', 'rk3568', 'rk3576'}
    descriptors = facts['quantization']['convDb']
    for target, card in cards.items():
        shift = 0 if target == 'u8' else 128  # uint8 and int8
        assert card['weights']['sha256'] == facts['weights']
        assert (
            card['input']['zero_point'] + shift
            == facts['quantization']['image']['zero_point'] + 128
        )
        assert card['input']['scale'] == facts['quantization']['image']['scale'] == 1
        assert card['descriptors']['zero_point'] + shift == descriptors['zero_point'] + 128
        assert card['descriptors']['scale'] == pytest.approx(descriptors['scale'], rel=1e-6)


def test_fixture_is_small():
    assert kept.ARRAYS.stat().st_size + kept.FACTS.stat().st_size < MAX_BYTES
