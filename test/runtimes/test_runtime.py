"""Opening models: model cards, input tables and the choice of the runtime."""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from rknn_standin import MODEL, Standin

from superpoint_rknn.features.quantization import Quantization
from superpoint_rknn.runtimes.model_files import (
    default_model,
    find_model,
    find_weights,
    read_card,
    resolve_input_table,
)
from superpoint_rknn.runtimes.open import open_runtime
from superpoint_rknn.runtimes.rknn import runtime as librknn
from superpoint_rknn.runtimes.runtime import ModelError, RuntimeUnavailableError, check_array

BYTES = Quantization(1.0, 0, np.dtype(np.uint8))


def with_card(tmp_path, text):
    (tmp_path / 'net.json').write_text(text)
    return tmp_path / 'net.rknn'


@pytest.mark.parametrize(
    'text',
    [
        '[' * 100_000,
        'no json',
        '[1, 2]',
        '{"input": null}',
        '{"input": []}',
        '{"input": {"mean": true}}',
        '{"input": {"std": "255"}}',
        '{"input": {"std": 0}}',
        f'{{"input": {{"mean": 1{"0" * 400}}}}}',
        '{"input": {"std": 7}}',
    ],
)
def test_invalid_card_raises(tmp_path, text):
    with pytest.raises(ModelError, match=r'net\.(json|rknn)'):
        resolve_input_table(with_card(tmp_path, text), BYTES, None, None)


def test_card_states_mean_and_std(tmp_path):
    path = with_card(tmp_path, '{"input": {"mean": 0, "std": 1}}')
    assert resolve_input_table(path, BYTES, None, None) is None
    signed = Quantization(1.0, -128, np.dtype(np.int8))
    table = resolve_input_table(path, signed, None, None)
    assert np.array_equal(table.view(np.uint8), np.arange(256) ^ 0x80)


def test_missing_card_is_empty(tmp_path):
    assert read_card(tmp_path / 'net.rknn') == {}


def test_outputs_need_writable_arrays():
    array = np.frombuffer(bytes(6), np.uint8).reshape(2, 3)
    check_array('image', array, (2, 3), np.dtype(np.uint8))
    with pytest.raises(ValueError, match='descriptors: a read-only array'):
        check_array('descriptors', array, (2, 3), np.dtype(np.uint8), writable=True)


def test_find_model_by_name_or_path():
    assert find_model('', 'rk3588') == default_model('rk3588')
    assert find_model('superpoint', None) == default_model(None)
    small = find_model('superpoint_small', 'rk3566')
    assert small.is_file()
    assert small.name == 'superpoint_small_400x640_rk3568.rknn'
    assert find_model('superpoint_small', None).name == 'superpoint_small_400x640_u8.onnx'
    assert find_model('', 'rk3588', 'onnx') == default_model(None)
    assert find_model('my/net.rknn', 'rk3588') == Path.cwd() / 'my/net.rknn'
    assert find_model('~/net.rknn', 'rk3588') == Path.home() / 'net.rknn'


def test_find_weights_by_name_path_or_model_card(tmp_path):
    whole, small = (find_weights(name) for name in ('superpoint', 'superpoint_small'))
    assert whole.name == 'superpoint.npz'
    assert find_weights('') == find_weights('', 'superpoint') == whole
    assert find_weights('', 'superpoint_small') == small
    assert find_weights('mine.npz', 'superpoint_small') == Path('mine.npz')
    model = str(with_card(tmp_path, '{}'))
    assert find_weights('', model) == whole
    digest = hashlib.sha256(small.read_bytes()).hexdigest()
    with_card(tmp_path, json.dumps({'weights': {'name': 'any', 'sha256': digest}}))
    assert find_weights('', model) == small
    with_card(tmp_path, '{"weights": {"name": "mine.npz", "sha256": "0"}}')
    with pytest.raises(ValueError, match="made from the weights 'mine"):
        find_weights('', model)


@pytest.mark.parametrize('soc', ['rv1126b', 'rk3588', 'rk3568', 'rk3576'])
def test_default_model_of_a_chip(soc):
    assert default_model(soc).name == f'superpoint_400x640_{soc}.rknn'


def test_default_model_of_other_chips():
    assert default_model('rk3566').name == 'superpoint_400x640_rk3568.rknn'
    for soc in ('rv1126', None):
        assert default_model(soc).name == 'superpoint_400x640_u8.onnx'


@pytest.mark.parametrize(
    ('name', 'runtime', 'error'),
    [
        ('missing.onnx', 'auto', 'no such file'),
        ('net.bin', 'auto', 'auto expects a model file with the suffix .rknn or .onnx'),
        ('net.rknn', 'onnx', 'onnx expects a model file with the suffix .onnx'),
        ('net.onnx', 'librknn', 'librknn expects a model file with the suffix .rknn'),
    ],
)
def test_model_without_a_matching_runtime_raises(tmp_path, name, runtime, error):
    if name != 'missing.onnx':
        (tmp_path / name).write_bytes(b'x')
    with pytest.raises(ModelError, match=error):
        open_runtime(tmp_path / name, runtime)


@pytest.fixture
def broken_npu(monkeypatch, standin_libraries, tmp_path):
    """Model file on a machine whose library, a stand-in, finds no NPU."""
    standin = Standin(2, standin_libraries[2])
    standin.fail('rknn_init', -3)
    library = librknn.find_library(standin.path)
    monkeypatch.setattr(librknn, 'find_library', lambda path: library)
    model = tmp_path / 'superpoint.rknn'
    model.write_bytes(MODEL)
    yield model
    standin.reset()


def test_error_of_auto_states_both_reasons(broken_npu, monkeypatch, tmp_path):
    package = tmp_path / 'site' / 'rknnlite'
    package.mkdir(parents=True)
    (package / '__init__.py').write_text('')
    (package / 'api.py').write_text('raise ImportError("libpython3.8 is missing")')
    monkeypatch.syspath_prepend(str(package.parent))
    with pytest.raises(RuntimeUnavailableError) as caught:
        open_runtime(broken_npu)
    assert 'RKNN_ERR_DEVICE_UNAVAILABLE (-3)' in str(caught.value)
    assert 'libpython3.8 is missing' in str(caught.value)
    for name in [name for name in sys.modules if name.split('.')[0] == 'rknnlite']:
        del sys.modules[name]


def test_no_fallback_if_librknn_is_requested(broken_npu):
    with pytest.raises(RuntimeUnavailableError, match='DEVICE_UNAVAILABLE') as caught:
        open_runtime(broken_npu, 'librknn')
    assert 'rknnlite' not in str(caught.value)
