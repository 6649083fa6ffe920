"""RknnliteRuntime on a stand-in of each generation."""

import gc
import json
import sys

import numpy as np
import pytest
import rknnlite_standin

from superpoint_rknn.runtimes.rknn.rknnlite import RknnliteRuntime
from superpoint_rknn.runtimes.runtime import ModelError, RuntimeUnavailableError

IMAGE = np.random.default_rng(1).integers(0, 256, (16, 24), np.uint8)
LOGITS = np.random.default_rng(2).normal(size=(1, 65, 2, 3)).astype(np.float32)
RAW = np.random.default_rng(3).normal(size=(1, 8, 2, 3)).astype(np.float32)
PACKAGES = {1: ('rknn_toolkit_lite', '1.7.5'), 2: ('rknn-toolkit-lite2', '2.3.2')}


def install(generation, version, folder, monkeypatch):
    """Put a package `rknnlite` on the path, with the metadata of an installation."""
    name, _ = PACKAGES[generation]
    package = folder / 'rknnlite' / 'api'
    package.mkdir(parents=True)
    (folder / 'rknnlite' / '__init__.py').touch()
    (package / '__init__.py').write_text(
        f'from rknnlite_standin import RKNNLite{generation} as RKNNLite\n'
    )
    metadata = folder / f'{name.replace("-", "_")}-{version}.dist-info' / 'METADATA'
    metadata.parent.mkdir()
    metadata.write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n')
    monkeypatch.syspath_prepend(folder)
    for module in ('rknnlite', 'rknnlite.api'):
        # Set first, so that modules imported from here on are removed after the test.
        monkeypatch.setitem(sys.modules, module, None)
        monkeypatch.delitem(sys.modules, module)
    return getattr(rknnlite_standin, f'RKNNLite{generation}')


@pytest.fixture(params=[1, 2], ids=['v1', 'v2'])
def rknnlite(request, tmp_path, monkeypatch):
    rknnlite = install(request.param, PACKAGES[request.param][1], tmp_path, monkeypatch)
    monkeypatch.setattr(rknnlite, 'outputs', (LOGITS, RAW))
    yield rknnlite
    assert rknnlite.live == 0


@pytest.fixture
def card(model):
    content = {'input': {'size': [16, 24]}}
    model.with_suffix('.json').write_text(json.dumps(content))


@pytest.mark.usefixtures('card')
def test_logits_and_float_descriptors(rknnlite, model):
    runtime = RknnliteRuntime(model)
    assert runtime.name in ('rknn_toolkit_lite 1.7.5', 'rknn-toolkit-lite2 2.3.2')
    assert runtime.input.shape == (1, 1, 16, 24)
    assert runtime.descriptors.shape == (1, 8, 2, 3)
    assert runtime.descriptors.dtype == np.float32
    assert runtime.descriptors.quantization is None
    assert runtime.input_table is None
    descriptors = np.zeros((8, 2, 3), np.float32)
    np.testing.assert_array_equal(runtime.infer(IMAGE, descriptors), LOGITS[0])
    np.testing.assert_array_equal(descriptors, RAW[0])
    np.testing.assert_array_equal(runtime.infer(IMAGE, None), LOGITS[0])
    np.testing.assert_array_equal(rknnlite.last.last_input[0, :, :, 0], IMAGE)
    assert list(runtime.stages_ms) == ['inference']
    runtime.close()


@pytest.mark.usefixtures('card')
def test_outputs_in_swapped_order(rknnlite, model, monkeypatch):
    monkeypatch.setattr(rknnlite, 'outputs', (RAW, LOGITS))
    runtime = RknnliteRuntime(model)
    np.testing.assert_array_equal(runtime.infer(IMAGE, None), LOGITS[0])
    runtime.close()


def test_missing_card_raises(rknnlite, model):
    with pytest.raises(
        ModelError, match=r'superpoint\.json: "input": "size": None, expected \[height'
    ):
        RknnliteRuntime(model)


@pytest.mark.parametrize(
    'card',
    [
        '[]',
        '{"input": null}',
        '{"input": []}',
        '{"input": {"size": null}}',
        '{"input": {"size": 16}}',
        '{"input": {"size": "ab"}}',
        '{"input": {"size": {}}}',
        '{"input": {"size": [16]}}',
        '{"input": {"size": [16, 24, 1]}}',
        '{"input": {"size": [-1, 5]}}',
        '{"input": {"size": [0, 24]}}',
        '{"input": {"size": [true, 8]}}',
        '{"input": {"size": [16.0, 24]}}',
        '{"input": {"size": ["16", "24"]}}',
    ],
)
def test_card_without_a_size_raises(rknnlite, model, card):
    model.with_suffix('.json').write_text(card)
    with pytest.raises(ModelError, match=r'superpoint\.json: '):
        RknnliteRuntime(model)


@pytest.mark.usefixtures('card')
@pytest.mark.parametrize(
    'options', [{'mean': 0.0}, {'std': 255.0}, {'pass_through': 'true'}], ids=str
)
def test_unsupported_option_raises(rknnlite, model, options):
    with pytest.raises(RuntimeUnavailableError, match=r'leave input\.mean'):
        RknnliteRuntime(model, **options)


@pytest.mark.usefixtures('card')
@pytest.mark.parametrize(
    ('attribute', 'value', 'kind', 'reason'),
    [
        ('load_code', -1, ModelError, 'could not load it'),
        ('init_code', -1, RuntimeUnavailableError, 'could not open the NPU'),
        ('load_error', Exception('no such chip'), ModelError, 'load it: Exception: no such chip'),
        (
            'init_error',
            OSError('no NPU'),
            RuntimeUnavailableError,
            'chip, .* old: OSError: no NPU',
        ),
        ('outputs', None, RuntimeUnavailableError, 'first inference: .*returned nothing'),
        ('outputs', (LOGITS,), RuntimeUnavailableError, 'returned 1 outputs'),
        ('outputs', (LOGITS, RAW[0]), ModelError, 'descriptors: shape'),
        ('error', Exception('NPU is gone'), RuntimeUnavailableError, 'NPU is gone'),
    ],
)
def test_error_while_opening(rknnlite, model, monkeypatch, attribute, value, kind, reason):
    monkeypatch.setattr(rknnlite, attribute, value)
    with pytest.raises(kind, match=reason):
        RknnliteRuntime(model)


@pytest.mark.usefixtures('card')
@pytest.mark.parametrize(
    ('attribute', 'value'), [('outputs', None), ('error', Exception('timeout'))]
)
def test_runtime_remains_usable_after_an_error(rknnlite, model, monkeypatch, attribute, value):
    runtime = RknnliteRuntime(model)
    with monkeypatch.context() as context:
        context.setattr(rknnlite, attribute, value)
        with pytest.raises(RuntimeError, match='inference'):
            runtime.infer(IMAGE, None)
    np.testing.assert_array_equal(runtime.infer(IMAGE, None), LOGITS[0])
    runtime.close()
    with pytest.raises(RuntimeError, match='is closed'):
        runtime.infer(IMAGE, None)


READ_ONLY = np.zeros((8, 2, 3), np.float32)
READ_ONLY.flags.writeable = False


@pytest.mark.usefixtures('card')
@pytest.mark.parametrize(
    ('image', 'descriptors', 'reason'),
    [
        (IMAGE[:8], None, r'image: \(8, 24\) uint8'),
        (IMAGE.astype(np.float32), None, 'image: .* float32'),
        (IMAGE, np.zeros((8, 2, 3), np.uint8), 'descriptors: .* uint8'),
        (IMAGE, np.zeros((4, 8, 2, 3), np.float32), r'descriptors: \(4, 8, 2, 3\)'),
        (IMAGE, READ_ONLY, 'descriptors: a read-only array'),
    ],
)
def test_arrays_of_another_shape_or_dtype_raise(rknnlite, model, image, descriptors, reason):
    runtime = RknnliteRuntime(model)
    with pytest.raises(ValueError, match=reason):
        runtime.infer(image, descriptors)
    runtime.close()


class Cycle:
    """An object that only the cyclic garbage collector can free."""

    live = 0

    def __init__(self):
        self.me = self
        Cycle.live += 1

    def __del__(self):
        Cycle.live -= 1


@pytest.mark.usefixtures('card')
@pytest.mark.parametrize(('version', 'guarded'), [('2.3.2', True), ('2.5.0', False)])
def test_reference_cycles_are_collected(model, tmp_path, monkeypatch, version, guarded):
    rknnlite = install(2, version, tmp_path, monkeypatch)
    monkeypatch.setattr(rknnlite, 'outputs', (LOGITS, RAW))
    runtime = RknnliteRuntime(model)
    gc.disable()
    try:
        most = 0
        for _ in range(40):
            Cycle()
            runtime.infer(IMAGE, None)
            most = max(most, Cycle.live)
    finally:
        gc.enable()
        gc.collect()
        runtime.close()
    assert (most <= 8) == guarded


@pytest.mark.usefixtures('card')
def test_without_the_package(model, monkeypatch):
    monkeypatch.setitem(sys.modules, 'rknnlite', None)
    monkeypatch.setitem(sys.modules, 'rknnlite.api', None)
    with pytest.raises(RuntimeUnavailableError, match=r'rknnlite can not be used: .* install'):
        RknnliteRuntime(model)
