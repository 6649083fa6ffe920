"""Networks without a stated input scale, softmaxed outputs, and implausible outputs."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
from fake_runtime import FakeRuntime

from superpoint_rknn.runtimes.outputs import (
    built_in_image,
    choose_std,
    descriptor_fault,
    detector_fault,
    network_faults,
    to_logits,
)
from superpoint_rknn.runtimes.runtime import ModelError

CELLS = (30, 40)


def logits_with(share, peak=3.0, spread=10.0):
    """Logits of cells of which a share has a point."""
    logits = np.full((65, *CELLS), -spread, np.float32)
    logits[64] = 0
    flat = logits[0].reshape(-1)
    flat[: round(share * flat.size)] = peak
    flat[:] = np.random.default_rng(0).permutation(flat)
    return logits


def test_built_in_image_is_textured_everywhere():
    image = built_in_image(240, 320)
    assert (image.shape, image.dtype) == ((240, 320), np.uint8)
    assert image.min() < 30
    assert image.max() > 225
    assert min(tile.std() for row in np.vsplit(image, 5) for tile in np.hsplit(row, 5)) > 5
    np.testing.assert_array_equal(image, built_in_image(240, 320))


def test_scores_become_logits_of_the_same_softmax():
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 4, (65, 3, 4)).astype(np.float32)
    assert to_logits(logits) is logits
    scores = np.exp(logits) / np.exp(logits).sum(0)
    again = np.exp(to_logits(scores))
    np.testing.assert_allclose(again / again.sum(0), scores, rtol=1e-5)
    scores[3, 0, 0] = 0
    assert np.isfinite(to_logits(scores)).all()


def test_logits_that_look_like_scores_in_one_cell_remain():
    logits = np.full((65, 3, 4), -5, np.float32)
    logits[:, 0, 0] = 1 / 65
    assert to_logits(logits) is logits


@pytest.mark.parametrize(
    ('logits', 'fault'),
    [
        (logits_with(0.1), None),
        (logits_with(0.5), None),
        (logits_with(0.001), 'input is probably too small'),
        (logits_with(0.95), 'not a trained SuperPoint'),
        (logits_with(0.1, spread=200), 'input is probably too large'),
        (logits_with(0.1) * np.float32(np.nan), 'not finite'),
    ],
)
def test_detector_faults(logits, fault):
    found = detector_fault(logits)
    assert (found is None) if fault is None else (fault in found)


def test_points_at_the_border_do_not_count():
    """Zero padding makes points there even if the input is too small."""
    logits = logits_with(0)
    logits[0, :6] = logits[0, :, -6:] = 3
    assert 'too small' in detector_fault(logits)


def test_descriptor_faults():
    descriptors = np.random.default_rng(2).normal(0, 1, (8, *CELLS)).astype(np.float32)
    assert descriptor_fault(descriptors) is None
    assert 'equal everywhere' in descriptor_fault(np.ones_like(descriptors))
    assert 'are 0' in descriptor_fault(np.where(np.arange(40) < 30, 0, descriptors))
    assert 'not finite' in descriptor_fault(np.where(np.arange(40) < 30, np.inf, descriptors))


def test_std_is_that_with_plausible_logits(tmp_path, caplog):
    path = tmp_path / 'own.onnx'
    good, bad = logits_with(0.1), logits_with(0.1, spread=200)
    assert choose_std(path, {1.0: bad, 255.0: good}.get, '--std') == 255
    assert 'own.onnx: input std 255 was chosen by a test' in caplog.text
    assert 'set --std 255, or {"input": {"std": 255}} in the model card own.json' in caplog.text
    assert choose_std(path, {1.0: good, 255.0: bad}.get, '--std') == 1
    caplog.clear()
    assert choose_std(path, {1.0: bad, 255.0: bad}.get, '--std') == 1
    assert 'neither 1 nor 255' in caplog.text
    with pytest.raises(ModelError, match=r'own\.onnx: its input may be .*: set --std'):
        choose_std(path, {1.0: good, 255.0: good}.get, '--std')


def test_faults_of_a_runtime_need_one_inference():
    runtime = FakeRuntime()
    (fault,) = network_faults(runtime)
    assert 'fake@12345678: implausible outputs on the built-in image' in fault
    np.testing.assert_array_equal(runtime.images, [built_in_image(*runtime.input.shape[2:])])
    runtime.descriptors = replace(runtime.descriptors, quantization=None)  # read as they are
    assert len(network_faults(runtime)) == 1


def test_network_of_the_package_is_plausible():
    if importlib.util.find_spec('onnxruntime') is None:
        pytest.skip('needs onnxruntime')
    from superpoint_rknn import open_runtime
    from superpoint_rknn.runtimes.model_files import SHIPPED, find_model

    for name in SHIPPED:
        assert network_faults(open_runtime(find_model(name, None))) == []
