"""LibrknnRuntime on a stand-in of each generation."""

import logging
from dataclasses import replace

import numpy as np
import pytest
from rknn_standin import Tensor

from superpoint_rknn.features.quantization import Quantization
from superpoint_rknn.runtimes.rknn.abi import Format, Quantized, TensorType
from superpoint_rknn.runtimes.rknn.errors import NpuError
from superpoint_rknn.runtimes.rknn.runtime import LibrknnRuntime
from superpoint_rknn.runtimes.runtime import ModelError, RuntimeUnavailableError

IMAGE = np.random.default_rng(1).integers(0, 256, (16, 24), np.uint8)


@pytest.fixture
def open_model(standin, model):
    """Function that opens the stand-in's model; it is closed after the test."""
    runtimes = []

    def open_runtime(**options):
        runtimes.append(LibrknnRuntime(model, library=standin.path, **options))
        return runtimes[-1]

    yield open_runtime
    for runtime in runtimes:
        runtime.close()
    assert standin.count('contexts') == 0


def new_descriptors(runtime):
    return np.zeros(runtime.descriptors.shape[1:], runtime.descriptors.dtype)


def test_tensor_specs(standin, open_model):
    standin.set_superpoint(height=40, width=64, channels=256)
    runtime = open_model()
    assert runtime.input.shape == (1, 1, 40, 64)
    assert runtime.logits.shape == (1, 65, 5, 8)
    assert runtime.descriptors.shape == (1, 256, 5, 8)
    signed = standin.generation == 2
    assert runtime.input.quantization == Quantization(
        1.0, -128 if signed else 0, np.dtype(np.int8 if signed else np.uint8)
    )
    assert runtime.descriptors.quantization.zero_point == (8 if signed else 136)
    assert runtime.descriptors.quantization.scale == pytest.approx(4.625256)
    assert runtime.model == 'superpoint@86546ac1'
    names = {1: 'librknn_api 1.7.5 (driver 1.7.5)', 2: 'librknnrt 2.3.2 (driver 0.9.8)'}
    assert runtime.name == names[standin.generation]


def test_float_logits_and_raw_descriptors(standin, open_model):
    standin.set_superpoint()
    logits, raw = standin.set_random_outputs()
    runtime = open_model()
    descriptors = new_descriptors(runtime)
    result = runtime.infer(IMAGE, descriptors)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, logits)
    np.testing.assert_array_equal(descriptors, raw)
    assert list(runtime.stages_ms) == ['inputs_set', 'run', 'outputs_get']


def test_pass_through(standin, open_model):
    """Scale 1: unsigned inputs are the image itself, signed ones are x ^ 0x80."""
    standin.set_superpoint()
    runtime = open_model()
    signed = standin.generation == 2
    assert (runtime.input_table is not None) == signed
    standin.expect_input(IMAGE ^ 0x80 if signed else IMAGE)
    runtime.infer(IMAGE, None)


def test_pass_through_with_an_input_table(standin, open_model):
    """A scale of 1.2: 255 becomes round(255 / 1.2) = round(212.5) = 212."""
    standin.set_superpoint(scale=1.2, zp=0, type=TensorType.UINT8)
    runtime = open_model(mean=0, std=1)
    image = np.full((16, 24), 255, np.uint8)
    standin.expect_input(np.full((16, 24), 212, np.uint8))
    runtime.infer(image, None)


def test_signed_input_table_that_is_not_a_sign_flip(standin, open_model):
    """Mean 1: 0 and 1 both become -128, and 255 becomes 126."""
    standin.set_superpoint(type=TensorType.INT8, zp=-128)
    runtime = open_model(mean=1, std=1)
    image = np.zeros((16, 24), np.uint8)
    image[0, :4] = 0, 1, 2, 255
    expected = np.full((16, 24), -128, np.int8)
    expected[0, :4] = -128, -128, -127, 126
    standin.expect_input(expected)
    runtime.infer(image, None)


def test_library_normalises_without_pass_through(standin, open_model):
    standin.set_superpoint()
    runtime = open_model(pass_through='false')
    assert not runtime.pass_through
    assert runtime.input_table is None
    standin.expect_input(IMAGE ^ 0x80 if standin.generation == 2 else IMAGE)
    runtime.infer(IMAGE, None)


def test_library_normalises_for_a_float_model(standin, open_model):
    standin.set_superpoint(type=TensorType.FLOAT16, qnt_type=Quantized.NONE)
    standin.set_normalisation(0, 255)
    runtime = open_model()
    assert not runtime.pass_through
    standin.expect_input((IMAGE / 255).astype(np.float16))
    runtime.infer(IMAGE, None)
    with pytest.raises(ModelError, match=r'float16 .* set input.pass_through to auto'):
        open_model(pass_through='true')


def test_clipping_input_raises(standin, open_model):
    standin.set_superpoint(scale=1 / 255)
    with pytest.raises(ModelError, match='input'):
        open_model(mean=0, std=1)


def test_dynamic_fixed_point_input(standin, open_model):
    """Fraction of 0 bits, signed: one step is 1, and 0 is 0, so (x - 128) is the identity."""
    standin.set_superpoint(type=TensorType.INT8, qnt_type=Quantized.DFP, fl=0, zp=0)
    runtime = open_model(mean=128, std=1)
    assert runtime.input.quantization == Quantization(1.0, 0, np.dtype(np.int8))
    standin.expect_input(IMAGE ^ 0x80)
    runtime.infer(IMAGE, None)


def test_descriptors_are_not_fetched_without_a_buffer(standin, open_model):
    standin.set_superpoint()
    logits, _ = standin.set_random_outputs()
    runtime = open_model()
    np.testing.assert_array_equal(runtime.infer(IMAGE, None), logits)
    descriptors = new_descriptors(runtime)
    runtime.infer(IMAGE, descriptors)
    np.testing.assert_array_equal(runtime.infer(IMAGE, None), logits)


def test_outputs_in_swapped_order(standin, open_model):
    standin.set_superpoint()
    standin.set_tensors(standin.inputs[0], *standin.outputs[::-1])
    raw, logits = standin.set_random_outputs()
    runtime = open_model()
    descriptors = new_descriptors(runtime)
    np.testing.assert_array_equal(runtime.infer(IMAGE, descriptors), logits)
    np.testing.assert_array_equal(descriptors, raw)
    np.testing.assert_array_equal(runtime.infer(IMAGE, None), logits)


@pytest.mark.parametrize('dtype', [TensorType.INT8, TensorType.UINT8])
@pytest.mark.parametrize('zero_point', [0, 100])
def test_signed_and_unsigned_descriptors(standin, open_model, dtype, zero_point):
    standin.set_superpoint()
    desc = replace(standin.outputs[1], type=dtype, zp=zero_point)
    standin.set_tensors(standin.inputs[0], standin.outputs[0], desc)
    _, raw = standin.set_random_outputs()
    runtime = open_model()
    descriptors = new_descriptors(runtime)
    runtime.infer(IMAGE, descriptors)
    assert descriptors.dtype == raw.dtype
    np.testing.assert_array_equal(descriptors, raw)
    assert runtime.descriptors.quantization.zero_point == zero_point


def test_negative_zero_point(standin, open_model):
    """Generation 1 stores it in an unsigned field."""
    standin.set_superpoint()
    desc = replace(standin.outputs[1], type=TensorType.INT8, zp=-100)
    standin.set_tensors(standin.inputs[0], standin.outputs[0], desc)
    assert open_model().descriptors.quantization.zero_point == -100


def channels_last(tensor):
    return replace(tensor, fmt=Format.NHWC, dims=tuple(tensor.dims[i] for i in (0, 2, 3, 1)))


def test_nhwc_outputs(standin, open_model):
    standin.set_superpoint()
    standin.set_tensors(standin.inputs[0], *map(channels_last, standin.outputs))
    logits, raw = standin.set_random_outputs()
    runtime = open_model()
    assert runtime.descriptors.shape == (1, 8, 2, 3)
    descriptors = new_descriptors(runtime)
    np.testing.assert_array_equal(runtime.infer(IMAGE, descriptors), logits.transpose(2, 0, 1))
    np.testing.assert_array_equal(descriptors, raw.transpose(2, 0, 1))


def test_float16_descriptors_become_float32(standin, open_model):
    standin.set_superpoint()
    desc = Tensor('desc', standin.outputs[1].dims, TensorType.FLOAT16)
    standin.set_tensors(standin.inputs[0], standin.outputs[0], desc)
    _, raw = standin.set_random_outputs()
    runtime = open_model()
    assert runtime.descriptors.dtype == np.float32
    assert runtime.descriptors.quantization is None
    descriptors = new_descriptors(runtime)
    runtime.infer(IMAGE, descriptors)
    np.testing.assert_array_equal(descriptors, raw)


@pytest.mark.parametrize('dtype', [TensorType.FLOAT16, TensorType.UINT8])
def test_fallback_to_native_types_if_want_float_is_rejected(standin, open_model, caplog, dtype):
    standin.set_superpoint()
    quantization = {} if dtype == TensorType.FLOAT16 else {'qnt_type': Quantized.DFP, 'fl': 2}
    semi = Tensor('semi', standin.outputs[0].dims, dtype, **quantization)
    standin.set_tensors(standin.inputs[0], semi, standin.outputs[1])
    standin.reject_float()
    logits, raw = standin.set_random_outputs()
    runtime = open_model()
    descriptors = new_descriptors(runtime)
    expected = logits if dtype == TensorType.FLOAT16 else logits / 4
    for _ in range(2):
        np.testing.assert_array_equal(runtime.infer(IMAGE, descriptors), expected)
        np.testing.assert_array_equal(descriptors, raw)
    reason = 'RKNN_ERR_PARAM_INVALID (-5)'
    assert caplog.text.count(reason) == 1
    assert 'outputs are fetched in their native types from now on' in caplog.text
    assert standin.count('rknn_outputs_get') == 3  # one rejected


@pytest.mark.parametrize('code', [-5, -9])
def test_no_fallback_after_a_successful_fetch(standin, open_model, caplog, code):
    standin.set_superpoint()
    logits, _ = standin.set_random_outputs()
    runtime = open_model()
    runtime.infer(IMAGE, None)
    standin.fail('rknn_outputs_get', code)
    with pytest.raises(NpuError, match=rf'rknn_outputs_get: .* \({code}\)'):
        runtime.infer(IMAGE, None)
    assert caplog.text == ''
    np.testing.assert_array_equal(runtime.infer(IMAGE, None), logits)
    assert standin.count('rknn_outputs_get') == 3


def test_core_mask(standin, open_model):
    standin.set_superpoint()
    if standin.generation == 1:
        with pytest.raises(RuntimeUnavailableError, match='this NPU has one core'):
            open_model(core_mask=0b001)
        return
    open_model(core_mask=0b011)
    assert standin.count('rknn_set_core_mask') == 1
    standin.fail('rknn_set_core_mask', -5)
    with pytest.raises(RuntimeUnavailableError, match=r'core_mask 4: .*RKNN_ERR_PARAM_INVALID'):
        open_model(core_mask=0b100)


def test_zero_copy_gives_the_same_outputs(standin2, model, caplog):
    """Rows of 24 pixels in memory of 32 each."""
    standin2.set_superpoint(w_stride=32)
    logits, raw = standin2.set_random_outputs()
    runtime = LibrknnRuntime(model, library=standin2.path, zero_copy=True)
    assert runtime.zero_copy
    assert caplog.text == ''
    calls_before = standin2.count('rknn_outputs_get')
    standin2.expect_input(IMAGE ^ 0x80)
    descriptors = new_descriptors(runtime)
    np.testing.assert_array_equal(runtime.infer(IMAGE, descriptors), logits)
    np.testing.assert_array_equal(descriptors, raw)
    runtime.infer(IMAGE, None)
    assert standin2.count('rknn_outputs_get') == calls_before
    runtime.close()
    assert standin2.count('mems') == 0
    assert standin2.count('contexts') == 0


def test_zero_copy_with_padded_outputs(standin2, model, caplog):
    """The library needs more than an output's size: 64 bytes for 48, 2048 for 1560."""
    standin2.set_superpoint()
    semi = replace(standin2.outputs[0], size_with_stride=2048)
    desc = replace(standin2.outputs[1], size_with_stride=64)
    standin2.set_tensors(standin2.inputs[0], semi, desc)
    logits, raw = standin2.set_random_outputs()
    runtime = LibrknnRuntime(model, library=standin2.path, zero_copy=True)
    assert runtime.zero_copy
    assert caplog.text == ''
    descriptors = new_descriptors(runtime)
    np.testing.assert_array_equal(runtime.infer(IMAGE, descriptors), logits)
    np.testing.assert_array_equal(descriptors, raw)
    runtime.close()


def test_zero_copy_of_nhwc_outputs(standin2, model):
    standin2.set_superpoint()
    standin2.set_tensors(standin2.inputs[0], *map(channels_last, standin2.outputs))
    logits, raw = standin2.set_random_outputs()
    runtime = LibrknnRuntime(model, library=standin2.path, zero_copy=True)
    assert runtime.zero_copy
    descriptors = new_descriptors(runtime)
    np.testing.assert_array_equal(runtime.infer(IMAGE, descriptors), logits.transpose(2, 0, 1))
    np.testing.assert_array_equal(descriptors, raw.transpose(2, 0, 1))
    runtime.close()


def mean_as_logits(pixels, logits, descriptors):
    logits[:] = pixels.astype(np.float32).mean()


def pixel_as_descriptors(pixels, logits, descriptors):
    descriptors[:] = pixels[0, 0]


@pytest.mark.parametrize('network', [mean_as_logits, pixel_as_descriptors])
def test_zero_copy_falls_back_if_results_differ(standin2, model, caplog, network):
    """The model normalises differently from the table, so that the NPU gets other bytes."""
    standin2.set_superpoint()
    standin2.set_normalisation(0, 2)
    standin2.compute(network)
    with caplog.at_level(logging.WARNING):
        runtime = LibrknnRuntime(model, library=standin2.path, zero_copy=True)
    assert 'its results differ' in caplog.text
    assert not runtime.zero_copy
    descriptors = new_descriptors(runtime)
    logits = runtime.infer(IMAGE, descriptors)
    pixels = (IMAGE ^ 0x80).view(np.int8)
    if network is mean_as_logits:
        assert logits[0, 0, 0] == pytest.approx(pixels.mean(), rel=1e-3)
    else:
        assert np.all(descriptors == pixels[0, 0])
    runtime.close()
    assert standin2.count('mems') == 0
    assert standin2.count('contexts') == 0


def test_zero_copy_falls_back_if_the_stride_is_below_the_width(standin2, model, caplog):
    standin2.set_superpoint(w_stride=16)
    runtime = LibrknnRuntime(model, library=standin2.path, zero_copy=True)
    assert 'image: w_stride 16, expected at least 24' in caplog.text
    assert not runtime.zero_copy
    runtime.close()
    assert standin2.count('mems') == 0


@pytest.mark.parametrize('function', ['rknn_create_mem', 'rknn_set_io_mem'])
def test_zero_copy_falls_back_on_library_errors(standin2, model, caplog, function):
    standin2.set_superpoint()
    standin2.fail(function, -4)
    runtime = LibrknnRuntime(model, library=standin2.path, zero_copy=True)
    assert function in caplog.text
    assert not runtime.zero_copy
    runtime.infer(IMAGE, None)
    runtime.close()
    assert standin2.count('mems') == 0


def test_zero_copy_needs_generation_2(standin, open_model, caplog):
    standin.set_superpoint()
    runtime = open_model(zero_copy=True)
    assert runtime.zero_copy == (standin.generation == 2)
    assert ('not supported on generation 1' in caplog.text) == (standin.generation == 1)
