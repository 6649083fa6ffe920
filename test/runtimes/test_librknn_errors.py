"""Errors of LibrknnRuntime name their cause and remedy, and leave nothing unreleased."""

import threading
from dataclasses import replace

import numpy as np
import pytest

from superpoint_rknn.runtimes.rknn.abi import Quantized, TensorType
from superpoint_rknn.runtimes.rknn.errors import (
    ERRORS,
    FAIL,
    INIT_FAILED,
    MODEL_ERRORS,
    NpuError,
)
from superpoint_rknn.runtimes.rknn.runtime import LibrknnRuntime
from superpoint_rknn.runtimes.runtime import ModelError, RuntimeUnavailableError

IMAGE = np.random.default_rng(1).integers(0, 256, (16, 24), np.uint8)


@pytest.mark.parametrize('code', sorted(ERRORS))
def test_rknn_init_error(standin, model, code):
    standin.set_superpoint()
    standin.fail('rknn_init', code)
    with pytest.raises((RuntimeUnavailableError, ModelError)) as failure:
        LibrknnRuntime(model, library=standin.path)
    assert isinstance(failure.value, ModelError) == (code in MODEL_ERRORS)
    name, advice = INIT_FAILED if code == FAIL else ERRORS[code]
    assert str(failure.value) == f'{model}: rknn_init: {name} ({code}): {advice}'
    LibrknnRuntime(model, library=standin.path).close()


def test_a_library_older_than_the_toolkit_is_named_as_the_cause(standin, model):
    standin.set_superpoint()
    standin.fail('rknn_init', FAIL)
    model.write_bytes(model.read_bytes() + b'2.5.0(compiler version: 2.5.0 (74ea630ce))')
    with pytest.raises(RuntimeUnavailableError) as failure:
        LibrknnRuntime(model, library=standin.path)
    assert 'written by toolkit 2.5.0' in str(failure.value)
    assert 'install a librknnrt.so' in str(failure.value)


def test_query_error_destroys_the_context(standin, model):
    standin.set_superpoint()
    standin.fail('rknn_query', -1)
    with pytest.raises(RuntimeUnavailableError, match=r'rknn_query.*RKNN_ERR_FAIL'):
        LibrknnRuntime(model, library=standin.path)
    assert standin.count('contexts') == 0


def test_zero_copy_with_a_failing_first_inference(standin2, model):
    standin2.set_superpoint()
    standin2.fail('rknn_run', -2)
    with pytest.raises(
        RuntimeUnavailableError, match=r'superpoint\.rknn: rknn_run: RKNN_ERR_TIMEOUT'
    ):
        LibrknnRuntime(model, library=standin2.path, zero_copy=True)
    assert standin2.count('contexts') == 0


def test_missing_and_empty_files(standin, model, tmp_path):
    with pytest.raises(ModelError, match=r'none\.rknn: No such file'):
        LibrknnRuntime(tmp_path / 'none.rknn', library=standin.path)
    model.write_bytes(b'')
    with pytest.raises(ModelError, match='the file is empty'):
        LibrknnRuntime(model, library=standin.path)


def not_one_grey_image(standin):
    image = standin.inputs[0]
    dims = tuple(3 if i == {0: 1, 1: 3}[image.fmt] else dim for i, dim in enumerate(image.dims))
    standin.set_tensors(replace(image, dims=dims), *standin.outputs)


def one_output(standin):
    standin.set_tensors(standin.inputs[0], standin.outputs[0])


def no_logits(standin):
    semi = replace(standin.outputs[0], dims=(1, 64, 2, 3))
    standin.set_tensors(standin.inputs[0], semi, standin.outputs[1])


def flat_output(standin):
    semi = replace(standin.outputs[0], dims=(1, 65 * 6))
    standin.set_tensors(standin.inputs[0], semi, standin.outputs[1])


def impossible_zero_point(standin):
    desc = replace(standin.outputs[1], type=TensorType.UINT8, zp=300)
    standin.set_tensors(standin.inputs[0], standin.outputs[0], desc)


def impossible_scale(standin):
    desc = replace(standin.outputs[1], scale=float('nan'))
    standin.set_tensors(standin.inputs[0], standin.outputs[0], desc)


def unknown_type(standin):
    semi = replace(standin.outputs[0], type=TensorType.BOOL)
    standin.set_tensors(standin.inputs[0], semi, standin.outputs[1])


def wrong_size(standin):
    standin.set_sizes(True, 1, claimed=47)


def wrong_number_of_elements(standin):
    standin.set_sizes(True, 1, elements=49)


def unknown_format(standin):
    """For example NC1HWC2 of generation 2."""
    semi = replace(standin.outputs[0], fmt=2)
    standin.set_tensors(standin.inputs[0], semi, standin.outputs[1])


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        (not_one_grey_image, 'image: 3 channels, expected 1, a grey image'),
        (one_output, '1 inputs and 1 outputs, expected the input image and the outputs'),
        (no_logits, 'shape .*, expected 1x65x2x3'),
        (flat_output, 'semi: 2 dimensions, expected 4'),
        (impossible_zero_point, 'desc: zero_point: 300, expected 0 to 255'),
        (impossible_scale, 'desc: scale: nan, expected a positive number'),
        (unknown_type, 'semi: element type 9 is not supported'),
        (wrong_size, 'desc: 48 elements in 47 bytes, expected 48 in 48'),
        (wrong_number_of_elements, 'desc: 49 elements in 48 bytes, expected 48 in 48'),
        (unknown_format, 'semi: memory format 2, expected NCHW or NHWC'),
    ],
)
def test_model_that_is_not_a_superpoint_raises(standin, model, change, reason):
    standin.set_superpoint()
    change(standin)
    with pytest.raises(ModelError, match=reason) as failure:
        LibrknnRuntime(model, library=standin.path)
    assert str(failure.value).startswith(f'{model}: ')
    assert standin.count('contexts') == 0


@pytest.mark.parametrize('function', ['rknn_inputs_set', 'rknn_run', 'rknn_outputs_get'])
def test_runtime_remains_usable_after_an_npu_error(standin, model, function):
    standin.set_superpoint()
    logits, _ = standin.set_random_outputs()
    runtime = LibrknnRuntime(model, library=standin.path)
    standin.fail(function, -2)
    with pytest.raises(NpuError, match=rf'{function}: RKNN_ERR_TIMEOUT \(-2\): .* dmesg') as error:
        runtime.infer(IMAGE, None)
    assert error.value.code == -2
    np.testing.assert_array_equal(runtime.infer(IMAGE, None), logits)
    runtime.close()


def test_rejected_want_float_without_native_support(standin, model):
    standin.set_superpoint()
    semi = replace(standin.outputs[0], type=TensorType.INT16, qnt_type=Quantized.DFP, fl=2)
    standin.set_tensors(standin.inputs[0], semi, standin.outputs[1])
    standin.reject_float()
    runtime = LibrknnRuntime(model, library=standin.path)
    with pytest.raises(NpuError, match='rknn_outputs_get: RKNN_ERR_PARAM_INVALID'):
        runtime.infer(IMAGE, None)
    runtime.close()


@pytest.mark.parametrize(
    ('index', 'reason'),
    [
        (0, 'semi: the library wrote 4 bytes, expected 1560'),
        (1, 'desc: the library wrote 4 bytes, expected 48'),
    ],
)
def test_output_of_a_wrong_size_raises(standin, model, index, reason):
    standin.set_superpoint()
    standin.set_sizes(True, index, written=4)
    runtime = LibrknnRuntime(model, library=standin.path)
    descriptors = np.zeros(runtime.descriptors.shape[1:], runtime.descriptors.dtype)
    with pytest.raises(RuntimeError, match=reason):
        runtime.infer(IMAGE, descriptors)
    runtime.close()


@pytest.mark.parametrize(
    ('image', 'descriptors', 'reason'),
    [
        (IMAGE[:8], None, r'image: \(8, 24\) uint8'),
        (IMAGE.astype(np.float32), None, 'image: .* float32'),
        (IMAGE[:, ::-1], None, 'expected contiguous'),
        (IMAGE, np.zeros((8, 2, 4), np.uint8), 'descriptors: '),
    ],
)
def test_arrays_of_another_shape_or_dtype_raise(standin, model, image, descriptors, reason):
    standin.set_superpoint()
    runtime = LibrknnRuntime(model, library=standin.path)
    with pytest.raises(ValueError, match=reason):
        runtime.infer(image, descriptors)
    runtime.close()


def test_closed_runtime_raises_and_the_model_can_be_opened_again(standin, model):
    standin.set_superpoint()
    for _ in range(3):
        runtime = LibrknnRuntime(model, library=standin.path)
        runtime.infer(IMAGE, None)
        runtime.close()
        runtime.close()
        with pytest.raises(RuntimeError, match='is closed'):
            runtime.infer(IMAGE, None)
    assert standin.count('contexts') == 0


def test_rknn_destroy_error_is_logged(standin, model, caplog):
    standin.set_superpoint()
    runtime = LibrknnRuntime(model, library=standin.path)
    standin.fail('rknn_destroy', -1)
    runtime.close()
    assert 'not released cleanly: rknn_destroy: RKNN_ERR_FAIL' in caplog.text


@pytest.mark.parametrize('times', [1, 3])
def test_rknn_destroy_mem_error_does_not_stop_the_release(standin2, model, caplog, times):
    standin2.set_superpoint()
    runtime = LibrknnRuntime(model, library=standin2.path, zero_copy=True)
    standin2.fail('rknn_destroy_mem', -1, times)
    runtime.close()
    assert caplog.text.count('not released cleanly: rknn_destroy_mem: RKNN_ERR_FAIL') == 1
    assert standin2.count('rknn_destroy_mem') == 3  # image, logits, descriptors
    assert standin2.count('mems') == 0
    assert standin2.count('contexts') == 0


def test_first_error_of_zero_copy_is_logged(standin2, model, caplog):
    standin2.set_superpoint()
    standin2.fail('rknn_set_io_mem', -4)
    standin2.fail('rknn_destroy_mem', -1)
    LibrknnRuntime(model, library=standin2.path, zero_copy=True).close()
    assert 'zero copy is not possible, data is copied: rknn_set_io_mem' in caplog.text
    assert standin2.count('contexts') == 0


def in_thread(function):
    """Run `function` in a new thread; return its result or exception."""
    results = []

    def run():
        try:
            results.append(function())
        except RuntimeError as error:
            results.append(error)

    thread = threading.Thread(target=run, name='other')
    thread.start()
    thread.join()
    return results[0]


def test_one_thread_owns_the_npu(standin, model):
    standin.set_superpoint()
    runtime = LibrknnRuntime(model, library=standin.path)
    runtime.infer(IMAGE, None)
    error = in_thread(lambda: runtime.infer(IMAGE, None))
    assert "thread 'other' called the NPU, which thread 'MainThread' owns" in str(error)
    runtime.infer(IMAGE, None)
    runtime.close()


def test_thread_ownership_ends_with_the_thread(standin, model):
    standin.set_superpoint()
    logits, _ = standin.set_random_outputs()
    runtime = LibrknnRuntime(model, library=standin.path)
    in_thread(lambda: runtime.infer(IMAGE, None))
    np.testing.assert_array_equal(runtime.infer(IMAGE, None), logits)
    runtime.close()


def test_context_is_not_destroyed_during_a_blocked_call(standin, model):
    standin.set_superpoint()
    runtime = LibrknnRuntime(model, library=standin.path)
    standin.block('rknn_run', True)
    thread = threading.Thread(target=runtime.infer, args=(IMAGE, None), daemon=True)
    thread.start()
    while standin.count('rknn_run') == 0:  # counted before it blocks
        thread.join(0.001)
    with pytest.raises(RuntimeError, match='during a call of another thread'):
        runtime.infer(IMAGE, None)
    runtime.close()
    assert standin.count('contexts') == 1
    second = LibrknnRuntime(model, library=standin.path)
    standin.block('rknn_run', False)
    thread.join()
    assert standin.count('contexts') == 1  # the first was destroyed when its call returned
    second.infer(IMAGE, None)
    second.close()
    assert standin.count('contexts') == 0
