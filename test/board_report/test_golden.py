"""Golden outputs of the shipped networks."""

import numpy as np
import pytest
from make_golden import golden_arrays

from superpoint_rknn.board_report.agreement import compare, mistakes
from superpoint_rknn.board_report.golden import FOLDER, IMAGES, load_goldens
from superpoint_rknn.board_report.model_points import MIN_COSINE, MIN_KEYPOINTS
from superpoint_rknn.features.quantization import Quantization
from superpoint_rknn.runtimes.model_files import SHIPPED


@pytest.mark.parametrize('network', SHIPPED)
def test_golden_outputs_are_those_of_the_shipped_network(network):
    pytest.importorskip('onnxruntime')
    with np.load(FOLDER / f'{network}.npz') as stored:
        current = golden_arrays(network)
        assert set(stored) == set(current)
        for name, array in current.items():
            if name.endswith('_logits'):  # floats of another processor may round differently
                np.testing.assert_allclose(stored[name], array, atol=0.02)
            else:
                assert np.array_equal(stored[name], array), f'{name}: run make_golden.py'


@pytest.mark.parametrize('image', IMAGES)
def test_the_two_networks_differ_by_more_than_the_tolerance(image):
    first, second = (load_goldens(name)[image] for name in SHIPPED)
    raw = np.zeros((256, 50, 80), np.uint8)
    raw[:, 2::5, 2::5] = second.descriptors
    logits = np.zeros((65, 50, 80), np.float32)
    logits[:, 2::5, 2::5] = second.logits
    figures = compare(first, logits, raw, second.quantization, second.keypoints)
    assert figures['cosine'] < MIN_COSINE - 0.05
    assert not figures['identical']
    assert figures['keypoints_within_1px'] < MIN_KEYPOINTS


@pytest.fixture
def outputs(networks):
    golden = load_goldens('superpoint')['photograph']
    raw = np.empty((256, 50, 80), np.uint8)
    return golden, networks['superpoint'].infer(golden.image, raw).copy(), raw


@pytest.mark.parametrize('layout', ['nhwc', 'transposed'])
def test_layouts_of_each_output_are_named(outputs, layout):
    golden, logits, raw = outputs
    axes = (1, 2, 0) if layout == 'nhwc' else (0, 2, 1)

    def stored(values):
        return np.ascontiguousarray(values.transpose(axes)).reshape(values.shape)

    quantization = golden.quantization
    assert mistakes(golden, logits, raw, quantization) == []
    assert mistakes(golden, logits, stored(raw), quantization) == [f'descriptors_{layout}']
    assert mistakes(golden, stored(logits), raw, quantization) == [f'logits_{layout}']


@pytest.mark.parametrize('shift', [-9, 12, 40])
def test_a_shifted_zero_point_is_named(outputs, shift):
    golden, logits, raw = outputs
    stated = Quantization(
        golden.quantization.scale, golden.quantization.zero_point + shift, np.uint8
    )
    points = golden.keypoints
    assert compare(golden, logits, raw, stated, points)['zero_point_shift'] == -shift
    assert mistakes(golden, logits, raw, stated) == ['zero_point']


def test_one_step_of_rounding_is_no_mistake(outputs):
    golden, logits, raw = outputs
    rounded = raw + np.random.default_rng(0).integers(0, 2, raw.shape, np.uint8)
    figures = compare(golden, logits, rounded, golden.quantization, golden.keypoints)
    assert 0.45 < figures['equal_bytes'] < 0.55
    assert figures['within_one'] == figures['max_byte_difference'] == 1
    assert figures['cosine'] > 0.99
    assert mistakes(golden, logits, rounded, golden.quantization) == []


def test_a_flipped_sign_bit_is_named(outputs):
    golden, logits, raw = outputs
    assert mistakes(golden, logits, raw ^ np.uint8(0x80), golden.quantization) == [
        'descriptors_sign'
    ]
